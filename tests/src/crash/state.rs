//! What an instance has on its disk, read when it does not run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bbot_manifest::{Manifest, ResultManifest};

use super::history::{Answer, Death};
use crate::controller::hex_sha256;

/// Reads the state folder `folder`, which need not be there yet.
///
/// # Errors
/// If it cannot be read.
pub(super) fn read(folder: &Path) -> Result<Death> {
    let mut death = Death::default();
    for path in files(&folder.join("outbox"))? {
        // What has not got its name yet is not durable, whatever is in it.
        if is_unfinished(&path) {
            continue;
        }
        match answer(&path) {
            Ok(answer) => death.waiting.push(answer),
            Err(error) => death.faults.push(format!("{}: {error:#}", path.display())),
        }
    }
    let record = folder.join("task-at-hand.manifest");
    if record.symlink_metadata().is_ok() {
        match answer(&record) {
            Ok(answer) => death.on_record = Some(answer),
            Err(error) => death.faults.push(format!("{}: {error:#}", record.display())),
        }
    }
    for path in files(&folder.join("dead-letters"))? {
        if !is_unfinished(&path) {
            death.faults.push(format!("a dead letter {}", path.display()));
        }
    }
    Ok(death)
}

/// Whether nothing waits in the state folder.
pub(super) fn is_settled(folder: &Path) -> bool {
    files(&folder.join("outbox")).is_ok_and(|files| files.is_empty())
        && folder.join("task-at-hand.manifest").symlink_metadata().is_err()
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// Reads an entry of the outbox, without the agent's own code.
fn answer(path: &Path) -> Result<Answer> {
    let text = std::fs::read_to_string(path)?;
    let (digest, body) = text.split_once('\n').context("no digest")?;
    if digest.strip_prefix("# sha256 ") != Some(&hex_sha256(body.as_bytes())) {
        bail!("the digest is not that of the content");
    }
    let session = body.lines().find_map(|line| line.strip_prefix("session: "));
    let result = body.rfind("\n: 1\n").context("no second manifest")?;
    Ok(Answer {
        session: session.context("no session")?.to_owned(),
        result: ResultManifest::parse(&body.as_bytes()[result + 1..], "result")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = ": 1\nentry-version: 1\nsession: s\nresult-url: u\n\
                        : 1\nname: foo\nversion: 1.0.0\nstatus: interrupt\n";

    /// Only what has its name is a promise; what has it must be whole.
    #[test]
    fn the_disk_is_read_as_a_next_start_would() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("outbox")).unwrap();
        assert!(is_settled(folder.path()));
        let entry = format!("# sha256 {}\n{BODY}", hex_sha256(BODY.as_bytes()));
        std::fs::write(path("outbox/2.manifest.new"), &entry).unwrap();
        let death = read(folder.path()).unwrap();
        assert!(death.waiting.is_empty() && death.faults.is_empty(), "{death:?}");
        std::fs::write(path("outbox/1.manifest"), &entry).unwrap();
        std::fs::write(path("task-at-hand.manifest"), &entry).unwrap();
        let death = read(folder.path()).unwrap();
        assert_eq!(death.waiting.len(), 1);
        assert_eq!(death.on_record.unwrap().session, "s");
        std::fs::write(path("outbox/1.manifest"), &entry[..entry.len() - 1]).unwrap();
        assert_eq!(read(folder.path()).unwrap().faults.len(), 1);
        assert!(!is_settled(folder.path()));
    }
}
