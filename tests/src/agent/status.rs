//! The agent's `status.json`, waited for as it changes.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Waits until the status in the runtime folder `folder` says that `phase` has begun.
///
/// # Errors
/// If it does not within `limit`, or cannot be read.
pub fn wait_for_status(folder: &Path, phase: &str, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    // It is replaced as a whole. Watched first, then read: no change is missed.
    inotify
        .add_watch(folder, AddWatchFlags::IN_MOVED_TO)
        .with_context(|| format!("cannot watch {}", folder.display()))?;
    loop {
        let text = std::fs::read(folder.join("status.json")).unwrap_or_default();
        let status: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if status["phase"] == phase {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut changed = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        if poll(&mut changed, timeout)? == 0 {
            bail!("the phase {phase} has not begun within {limit:?}; the status is {status}");
        }
        inotify.read_events()?;
    }
}
