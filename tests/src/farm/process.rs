//! A process of a farm.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A child of ours that lives in a farm; it dies with the farm, or when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    /// Readable as soon as the process has ended; safe against reuse of the pid.
    pidfd: OwnedFd,
    pid: u32,
}

impl Process {
    pub(super) fn new(child: Child) -> Result<Process> {
        let pid = child.id();
        let raw = Pid::from_raw(i32::try_from(pid)?).context("a child has a pid")?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).context("cannot open a pidfd")?;
        Ok(Process { child: Arc::new(Mutex::new(child)), pidfd, pid })
    }

    /// What the farm keeps to bury the process at its end.
    pub(super) fn grave(&self) -> Grave {
        Grave(Arc::clone(&self.child))
    }

    /// Its pid, as this process sees it (inside the farm it has another).
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its standard output, if that was a pipe and was not taken before.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        lock(&self.child).stdout.take()
    }

    /// Its standard error, if that was a pipe and was not taken before.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        lock(&self.child).stderr.take()
    }

    /// Sends a signal; to a process that has ended this does nothing.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno).context("cannot send a signal"),
        }
    }

    /// Waits until it has ended, `limit` at most; `None` if it has not.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait(&self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ended, timeout) {
                Ok(0) if left.is_zero() => return Ok(None),
                Ok(0) | Err(nix::Error::EINTR) => (),
                Ok(_) => return Ok(Some(lock(&self.child).wait()?)),
                Err(errno) => return Err(errno).context("cannot wait for a process"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // It fails only for a process that has ended.
        drop(child.kill());
        // It fails only if somebody else has waited for our child, and then it is gone.
        drop(child.wait());
    }
}

/// A process that the farm must wait for: a pid namespace ends when all its dead are buried.
#[derive(Debug)]
pub(super) struct Grave(Arc<Mutex<Child>>);

impl Grave {
    pub(super) fn bury(self) {
        // It fails only if somebody else has waited for our child, and then it is gone.
        drop(lock(&self.0).wait());
    }
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    // A panic elsewhere leaves a child as good as it was.
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
