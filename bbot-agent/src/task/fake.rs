//! `--fake-machine`: whoever tests a worker puts its result where a guest's would arrive.

use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use bbot_manifest::{ResultManifest, ResultStatus};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::artifacts::{self, UPLOAD};
use super::perform::{Assignment, identity, report, write_task};
use super::result_file;
use crate::agent::Agent;
use crate::event_loop::{Event, NEVER};
use crate::guest::tftp_folder::{self, TftpFolder};

const RESULT: &str = "result.manifest.lz4";

/// Offers the task below the TFTP root and waits for the result to appear there.
pub(super) fn build(agent: &mut Agent, assignment: &Assignment) -> anyhow::Result<ResultManifest> {
    let path = tftp_folder::build(&agent.config.tftp, &agent.config.instance_name());
    let folder = TftpFolder::create(path, &["get", "put"])?;
    let put = folder.join("put");
    watch(agent, &put)?;
    write_task(agent, &folder, assignment)?;
    loop {
        match agent.next_event(Instant::now() + NEVER) {
            // What is not whole yet is written again, and seen again.
            Some(Event::FileAppeared) => {
                if let Ok(result) = result_file::read(&put.join(RESULT)) {
                    let upload = put.join(UPLOAD);
                    check_upload(&upload, &result)?;
                    return report(agent, assignment, result, Some(&upload));
                }
            }
            Some(Event::Signal)
                if agent.events.signals.terminated() || agent.events.signals.take_interrupt() =>
            {
                let interrupted = identity(assignment, ResultStatus::Interrupt);
                return report(agent, assignment, interrupted, None);
            }
            _ => {}
        }
    }
}

/// Reports each file that is closed or moved into `directory`, for as long as it is there.
fn watch(agent: &Agent, directory: &Path) -> anyhow::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let flags =
        AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE_SELF;
    inotify
        .add_watch(directory, flags)
        .with_context(|| format!("cannot watch {}", directory.display()))?;
    let sender = agent.events.sender();
    thread::Builder::new().name("fake-machine".into()).spawn(move || {
        while let Ok(events) = inotify.read_events() {
            let gone = events.iter().any(|e| e.mask.contains(AddWatchFlags::IN_DELETE_SELF));
            if gone || sender.send(Event::FileAppeared).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// As the original: what was uploaded beside a good result must be an archive.
fn check_upload(upload: &Path, result: &ResultManifest) -> anyhow::Result<()> {
    if !result.status.is_failure() && upload.try_exists()? {
        artifacts::check(upload)?;
    }
    Ok(())
}
