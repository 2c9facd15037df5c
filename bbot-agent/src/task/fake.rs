//! `--fake-machine`: the operator tests a worker, and puts its result where a guest would upload
//! it.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bbot_manifest::{ResultManifest, ResultStatus};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::artifacts::{self, UPLOAD};
use super::reporter::Reporter;
use super::unstored::Unstored;
use super::{result_file, task_file};
use crate::config::Config;
use crate::diag;
use crate::event_loop::{Event, EventLoop, NEVER};
use crate::guest::run::Job;
use crate::guest::tftp_folder::{self, TftpFolder};

/// How often the result is looked for where no change is reported (W47).
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(1);

const RESULT: &str = "result.manifest.lz4";

/// Puts the task below the TFTP root and waits for the result to appear there.
pub(super) fn build(
    config: &Config,
    events: &mut EventLoop,
    reporter: &Reporter<'_>,
) -> anyhow::Result<ResultManifest> {
    let folder = TftpFolder::create(tftp_folder::path(config, Job::Build), &["get", "put"])?;
    let put = folder.join("put");
    let interval = match watch(&put, events.sender()) {
        Ok(()) => NEVER,
        // For want of inotify instances, for example.
        Err(error) => {
            diag::warn(format_args!("{error:#}: looked for each second"));
            UNWATCHED_INTERVAL
        }
    };
    task_file::write(&folder, &reporter.assignment.task, &config.trust)?;
    loop {
        match events.next(Instant::now() + interval) {
            // A file that is not complete yet is written again, and seen again.
            Some(Event::FileAppeared) | None => {
                if let Ok(result) = result_file::read(&put.join(RESULT)) {
                    let upload = put.join(UPLOAD);
                    check_upload(&upload, &result)?;
                    let durable = reporter.report(result, Some(&upload));
                    return durable.map_err(|error| Unstored::keep(error, folder));
                }
            }
            Some(Event::Signal)
                if events.signals().terminated() || events.signals().take_interrupt() =>
            {
                return reporter.report_bare(ResultStatus::Interrupt);
            }
            _ => {}
        }
    }
}

/// Reports each file that is closed after writing in `directory`, or moved into it, until the
/// directory is removed.
fn watch(directory: &Path, events: Sender<Event>) -> anyhow::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let flags =
        AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE_SELF;
    inotify
        .add_watch(directory, flags)
        .with_context(|| format!("cannot watch {}", directory.display()))?;
    thread::Builder::new().name("fake-machine".into()).spawn(move || {
        while let Ok(changes) = inotify.read_events() {
            let is_removed = changes.iter().any(|e| e.mask.contains(AddWatchFlags::IN_DELETE_SELF));
            if is_removed || events.send(Event::FileAppeared).is_err() {
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
