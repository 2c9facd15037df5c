//! What the guest built, caught on its way.
//!
//! The agent does not hand artifacts on to the controller yet. So the demo watches the folder
//! into which the TFTP server puts the guest's files, and links `upload.tar` the moment it
//! appears there; the guest sends it before its result, so the folder is still there. What is
//! compared with the result's log are the bytes that came over the wire.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::controller::hex_sha256;

/// The file that a guest sends if it built something.
const UPLOAD: &str = "upload.tar";

/// Watches one folder, in a thread of its own, until dropped or until the upload is there.
#[derive(Debug)]
pub(super) struct Watch {
    /// Dropping it ends the thread.
    stop: Option<std::os::unix::net::UnixStream>,
    thread: Option<JoinHandle<Result<()>>>,
    target: PathBuf,
}

impl Watch {
    /// Links the upload in `folder` to `target` as soon as it is complete.
    pub(super) fn start(folder: &Path, target: PathBuf) -> Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let events = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
        inotify
            .add_watch(folder, events)
            .with_context(|| format!("cannot watch {}", folder.display()))?;
        let (stop, stopped) = std::os::unix::net::UnixStream::pair()?;
        let (upload, link) = (folder.join(UPLOAD), target.clone());
        let watch = move || loop {
            let mut ready =
                [inotify.as_fd(), stopped.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            poll(&mut ready, PollTimeout::NONE)?;
            let is_stopped = ready[1].any() != Some(false);
            let events = if ready[0].any() == Some(true) { inotify.read_events()? } else { vec![] };
            if events.iter().any(|event| event.name.as_deref() == Some(UPLOAD.as_ref())) {
                return Ok(std::fs::hard_link(&upload, &link)?);
            }
            // Last, as an upload that is there must not be missed.
            if is_stopped {
                return Ok(());
            }
        };
        let thread = std::thread::Builder::new().name("artifact".to_owned()).spawn(watch)?;
        Ok(Watch { stop: Some(stop), thread: Some(thread), target })
    }

    /// Ends the watch; the upload, if one came.
    pub(super) fn finish(mut self) -> Result<Option<PathBuf>> {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && let Ok(result) = thread.join()
        {
            result.context("cannot link the upload")?;
        }
        Ok(self.target.is_file().then(|| self.target.clone()))
    }
}

/// The SHA-256 of the one artifact in `upload`, and its name.
pub(super) fn digest(upload: &Path) -> Result<(String, String)> {
    let folder = upload.with_extension("d");
    std::fs::create_dir(&folder)?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(upload).arg("-C").arg(&folder).arg("--no-same-owner");
    let output = tar.output().context("cannot run tar")?;
    if !output.status.success() {
        bail!("tar: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    // upload/<type>/<instance>/<artifact>
    let mut path = folder;
    for _ in 0..4 {
        let mut entries = std::fs::read_dir(&path)?;
        path = entries.next().context("an empty folder in the upload")??.path();
    }
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((hex_sha256(&bytes), name))
}
