//! The hypervisor's process: the program, its user and its confinement, and its end.

mod accelerator;
mod disk;
mod program;
mod sys;
mod user;
mod wait;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::error::Error;
use crate::exit::GuestExit;
use sys::Confinement;

pub use accelerator::Accelerator;
pub(crate) use disk::{DISK_IMAGE, give_disk};
pub(crate) use program::find_program;
pub use user::VmUser;
pub(crate) use wait::wait_readable;

/// From SIGKILL to the end of a process. Only one that is within a system call takes longer.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A child process. Dropped before [`reap`](Process::reap), it is killed.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) stderr: Option<ChildStderr>,
}

impl Process {
    /// Takes the exit status of the process, which has ended.
    pub(crate) fn reap(self, stderr: String) -> GuestExit {
        let status = self.wait_status();
        GuestExit {
            code: status.as_ref().and_then(WaitIdStatus::exit_status),
            signal: status.as_ref().and_then(WaitIdStatus::terminating_signal),
            stderr,
        }
    }

    /// By rustix: nix's `waitid` fails for a process that a real-time signal has ended.
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

/// What is executed, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'a> {
    /// The absolute path of the program.
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [OsString],
    /// The working folder.
    pub(crate) directory: &'a Path,
    pub(crate) user: &'a VmUser,
    /// The file descriptors that it inherits besides standard input, output and error.
    pub(crate) inherited: &'a [BorrowedFd<'a>],
}

/// Executes the hypervisor, confined.
pub(crate) fn spawn(invocation: &Invocation<'_>) -> Result<Process, Error> {
    let Invocation { program, arguments, directory, user, inherited } = *invocation;
    let confinement = Confinement {
        directory: open_directory(directory)?,
        user,
        inherited: inherited.iter().map(AsRawFd::as_raw_fd).collect(),
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed =
        |source| Error::Exec { program: program.to_owned(), user: user.name().to_owned(), source };
    let mut child = sys::spawn_confined(&mut command, confinement).map_err(failed)?;
    let stderr = child.stderr.take().expect("standard error was configured as a pipe");
    let pid = Pid::from_child(&child);
    // The process is our child and has not been waited for, so its number is still its own.
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(std::io::Error::from);
    match pidfd.and_then(|pidfd| set_nonblocking(&stderr).map(|()| pidfd)) {
        Ok(pidfd) => Ok(Process { pid, pidfd, stderr: Some(stderr) }),
        Err(error) => {
            // Without a pidfd its end could not be seen. The first error is the one to report.
            drop(child.kill().and_then(|()| child.wait()));
            Err(failed(error))
        }
    }
}

/// Sends a signal to the process itself, never to another one that has got its number.
pub(crate) fn signal(pidfd: BorrowedFd<'_>, signal: Signal) {
    // The one error possible is that the process has ended, which is what signals are sent for.
    let _ = rustix::process::pidfd_send_signal(pidfd, signal);
}

fn set_nonblocking(stderr: &ChildStderr) -> std::io::Result<()> {
    fcntl(stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = libc::O_DIRECTORY;
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(path);
    Ok(directory.map_err(Error::io("open the guest's folder", path))?.into())
}
