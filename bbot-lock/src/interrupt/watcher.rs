//! Reports changes of lock files, and the end of processes.

use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::Victim;
use crate::Error;

/// Watches the victims' lock files, for the two changes that matter: that one is truncated (the
/// task is suspended) or removed (the machine is released).
///
/// `None`: the kernel has no more instances or watches for this user. Then changes must be looked
/// for (W47 in bbot-agent).
pub(super) fn watch_files(victims: &[Victim]) -> Result<Option<Inotify>, Error> {
    let inotify = match Inotify::init(InitFlags::IN_CLOEXEC) {
        Err(error) if is_exhausted(error) => return Ok(None),
        inotify => inotify.map_err(Error::watch("watch files"))?,
    };
    // A removed file loses a link, which is an attribute, at once; IN_DELETE_SELF would be reported
    // only when the last descriptor of it is closed.
    let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB;
    for victim in victims {
        match inotify.add_watch(&victim.lock_file, flags) {
            // ENOENT: it has just been released; the first poll finds that.
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(error) if is_exhausted(error) => return Ok(None),
            Err(error) => return Err(Error::io("watch", &victim.lock_file)(error)),
        }
    }
    Ok(Some(inotify))
}

/// Returns whether a limit of `inotify(7)` or of open files was reached.
fn is_exhausted(error: Errno) -> bool {
    matches!(error, Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC | Errno::ENOMEM)
}

/// How often a change is reported where the files cannot be watched, in milliseconds.
const UNWATCHED_INTERVAL: u8 = 200;

/// A thread that reports changes until this is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Closed by the drop, which ends the thread.
    _stop: PipeWriter,
}

impl Watcher {
    /// Calls `on_change` at each change of the files and at the end of each process: a process that
    /// is killed frees its lock without a change of the file.
    pub(super) fn start(
        files: Option<Inotify>,
        processes: Vec<OwnedFd>,
        on_change: impl FnMut() + Send + 'static,
    ) -> Result<Self, Error> {
        let (stopped, stop) = pipe().map_err(Error::watch("make a pipe"))?;
        thread::Builder::new()
            .name("lock-watcher".into())
            .spawn(move || report_changes(files.as_ref(), processes, &stopped, on_change))
            .map_err(Error::watch("start a thread"))?;
        Ok(Self { _stop: stop })
    }
}

fn report_changes(
    files: Option<&Inotify>,
    mut processes: Vec<OwnedFd>,
    stopped: &PipeReader,
    mut on_change: impl FnMut(),
) {
    loop {
        let watched = std::iter::once(stopped.as_fd()).chain(files.map(AsFd::as_fd));
        let watched = watched.chain(processes.iter().map(AsFd::as_fd));
        let mut polled: Vec<_> = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let timeout = files.map_or_else(|| UNWATCHED_INTERVAL.into(), |_| PollTimeout::NONE);
        match poll(&mut polled, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        let mut ready =
            polled.iter().map(|fd| fd.any() == Some(true)).collect::<Vec<_>>().into_iter();
        if ready.next() == Some(true) {
            return;
        }
        if let Some(files) = files
            && ready.next() == Some(true)
        {
            // Which file has changed does not matter: a poll examines all locks.
            drop(files.read_events());
        }
        // A pidfd stays readable after the end of its process.
        processes.retain(|_| ready.next() != Some(true));
        on_change();
    }
}
