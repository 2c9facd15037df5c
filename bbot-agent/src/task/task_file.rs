//! Writes the task manifest for the worker.

use std::fs;

use anyhow::Context;
use bbot_manifest::protocol::TaskEdit;

use crate::controller::AcceptedTask;
use crate::controller::result_request;
use crate::guest::tftp_folder::TftpFolder;
use crate::host::fault::OfHost;

/// Puts the task into the folder `get` of `folder`.
///
/// W24: only what the agent decides is changed; the rest is passed on byte for byte.
pub(super) fn write(
    folder: &TftpFolder,
    task: &AcceptedTask,
    trust: &[String],
) -> anyhow::Result<()> {
    let text = edit(trust, task.agent_checksum.as_deref()).apply(&task.task_text)?;
    let path = folder.join("get").join("task.manifest");
    fs::write(&path, text).with_context(|| OfHost::new(format!("cannot write {}", path.display())))
}

/// W24: `--trust` replaces the task's own; if the agent checksum has changed, the worker checksum
/// is dropped, too.
fn edit<'a>(trust: &'a [String], agent_checksum: Option<&str>) -> TaskEdit<'a> {
    let mut edit = TaskEdit::default();
    edit.trust = (!trust.is_empty()).then_some(trust);
    edit.drop_worker_checksum = agent_checksum != Some(result_request::AGENT_CHECKSUM);
    edit
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = ":\nname: a\ntrust: 1\nfuture:   x\\\ny\nworker-checksum: w\n# end\n";

    /// W24: byte for byte what came, but for what the agent decides.
    #[test]
    fn only_the_agents_own_is_changed() {
        let edited = |trust: &[String], checksum| edit(trust, checksum).apply(TASK).unwrap();
        let ours = Some(result_request::AGENT_CHECKSUM);
        let untouched = edited(&[], ours);
        assert_eq!(untouched, TASK.replacen(':', ": 1", 1));
        for other in [None, Some("1"), Some("")] {
            let expected = untouched.replace("worker-checksum: w\n", "");
            assert_eq!(edited(&[], other), expected, "{other:?}");
        }
        let trusted = edited(&["yes".to_owned()], ours);
        assert!(trusted.contains("trust: yes\n") && !trusted.contains("trust: 1"), "{trusted}");
        assert!(trusted.contains("future:   x\\\ny\nworker-checksum: w\n"), "{trusted}");
    }
}
