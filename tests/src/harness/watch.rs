//! Files that another process creates or replaces, waited for with inotify.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Waits until `status.json` in the runtime folder `folder` names `phase`; neither need exist yet.
///
/// # Errors
/// If it does not within `limit`.
pub fn wait_for_status(folder: &Path, phase: &str, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    let file = folder.join("status.json");
    wait_for_file(&file, limit)?;
    let has_begun = || {
        let text = std::fs::read(&file).unwrap_or_default();
        let status: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        status["phase"] == phase
    };
    let left = deadline.saturating_duration_since(Instant::now());
    wait(folder, left, has_begun).with_context(|| format!("the phase {phase} has not begun"))
}

/// Waits until a file `path` exists; its folder need not exist yet either.
///
/// # Errors
/// If there is none within `limit`.
pub fn wait_for_file(path: &Path, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    // The deepest ancestor that exists: something must appear in it first.
    while let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) {
        let next = path.components().nth(folder.components().count());
        let next = folder.join(next.context("an ancestor is shorter")?);
        let left = deadline.saturating_duration_since(Instant::now());
        wait(folder, left, || next.symlink_metadata().is_ok())
            .with_context(|| format!("{} has not appeared", next.display()))?;
        if next == path {
            return Ok(());
        }
    }
    bail!("{} has no ancestor", path.display());
}

/// Waits until `condition` holds: checks it at once, and again whenever something appears in
/// `folder`.
fn wait(folder: &Path, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    // Watched first, then checked: no change is missed.
    inotify
        .add_watch(folder, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE)
        .with_context(|| format!("cannot watch {}", folder.display()))?;
    while !condition() {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut changed = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        if poll(&mut changed, timeout)? == 0 {
            bail!("nothing within {limit:?}");
        }
        inotify.read_events()?;
    }
    Ok(())
}
