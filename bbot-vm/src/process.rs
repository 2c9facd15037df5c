//! The hypervisor's process: what it is given, and its end.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::Error;
use crate::config::{DISK_IMAGE, GuestConfig};
use crate::guest::GuestExit;
use crate::sys::{self, Confinement};
use crate::user::VmUser;

/// From SIGKILL to the end of a process. Only one in the kernel's hands takes longer.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A process of ours. Dropped before its end was seen, it is killed.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stderr: Option<ChildStderr>,
}

impl Process {
    /// Takes the exit status of the process, which is gone.
    pub(crate) fn reap(self, stderr: String) -> GuestExit {
        let status = self.wait_status();
        GuestExit {
            code: status.as_ref().and_then(WaitIdStatus::exit_status),
            signal: status.as_ref().and_then(WaitIdStatus::terminating_signal),
            stderr,
        }
    }

    fn wait_status(&self) -> Option<WaitIdStatus> {
        let id = WaitId::PidFd(self.pidfd.as_fd());
        rustix::process::waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        signal(self.pidfd.as_fd(), Signal::KILL);
        if wait_readable(self.pidfd.as_fd(), KILL_LIMIT) {
            self.wait_status();
        }
    }
}

/// Executes the hypervisor with `arguments` and the `inherited` file descriptors.
pub(crate) fn spawn(
    program: &Path,
    arguments: &[OsString],
    config: &GuestConfig,
    inherited: &[BorrowedFd<'_>],
) -> Result<Process, Error> {
    let confinement = Confinement {
        directory: open_directory(&config.directory)?,
        user: &config.user,
        inherited: inherited.iter().map(AsRawFd::as_raw_fd).collect(),
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |source| Error::Exec {
        program: program.to_owned(),
        user: config.user.name().to_owned(),
        source,
    };
    let mut child = sys::spawn_confined(&mut command, confinement).map_err(failed)?;
    let stderr = child.stderr.take().expect("standard error was asked to be a pipe");
    let pid = Pid::from_child(&child);
    // The process is our child and nobody has waited for it, so the number is its own.
    let watched = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .and_then(|pidfd| rustix::fs::fcntl_setfl(&stderr, OFlags::NONBLOCK).map(|()| pidfd));
    match watched {
        Ok(pidfd) => Ok(Process { pid, pidfd, stderr: Some(stderr) }),
        Err(error) => {
            // Without a pidfd nobody would see its end; the first error is the one to tell.
            drop(child.kill().and_then(|()| child.wait()));
            Err(failed(error.into()))
        }
    }
}

/// Finds the program as a shell would, since its working folder is another one than ours.
pub(crate) fn find_program(program: &Path) -> Result<PathBuf, Error> {
    let missing = |source| Error::Io { operation: "find", path: program.to_owned(), source };
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(program).map_err(missing);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| missing(io::ErrorKind::NotFound.into()))
}

/// Gives the disk image to `user`, and nothing else.
pub(crate) fn give_disk(directory: &Path, user: &VmUser) -> Result<(), Error> {
    let path = directory.join(DISK_IMAGE);
    let failed = |operation| {
        let path = path.clone();
        move |source| Error::Io { operation, path, source }
    };
    // Neither through a link, nor by waiting for the other end of a pipe.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let image = OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let image = image.map_err(failed("open disk image"))?;
    let metadata = image.metadata().map_err(failed("look at disk image"))?;
    if !metadata.is_file() {
        let reason = "is not a regular file";
        return Err(Error::Config {
            what: "disk image",
            value: path.display().to_string(),
            reason,
        });
    }
    fchown(&image, Some(user.uid()), Some(user.gid())).map_err(failed("change the owner of"))
}

/// Sends a signal to the process itself, never to another one that got its number.
pub(crate) fn signal(pidfd: BorrowedFd<'_>, signal: Signal) {
    // The one error possible is that the process is gone, which is what signals are sent for.
    let _ = rustix::process::pidfd_send_signal(pidfd, signal);
}

/// Waits until `fd` can be read, which a pidfd can when its process is gone. Returns whether it
/// can.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A limit of more seconds than the kernel counts is as good as the most that it does.
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return false,
            Ok(_) => return true,
        }
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = libc::O_DIRECTORY;
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let failed =
        |source| Error::Io { operation: "open the guest's folder", path: path.to_owned(), source };
    Ok(directory.map_err(failed)?.into())
}
