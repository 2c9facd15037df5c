//! A process of a farm.

use std::process::{Child, ChildStderr, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::harness::pidfd::PidFd;

/// A child process in a farm; it is killed when the farm ends, or when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    pidfd: PidFd,
    pid: u32,
}

impl Process {
    pub(super) fn new(child: Child) -> Result<Process> {
        let pid = child.id();
        let pidfd = PidFd::open(pid)?;
        Ok(Process { child: Arc::new(Mutex::new(child)), pidfd, pid })
    }

    /// A handle with which the farm reaps the process when it ends.
    pub(super) fn handle(&self) -> ChildHandle {
        ChildHandle(Arc::clone(&self.child))
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
        self.pidfd.signal(signal)
    }

    /// Waits until it has ended, `limit` at most; `None` if it has not.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait(&self, limit: Duration) -> Result<Option<ExitStatus>> {
        let has_ended = self.pidfd.wait(limit)?;
        Ok(if has_ended { Some(lock(&self.child).wait()?) } else { None })
    }

    /// Kills it and returns when it has ended.
    ///
    /// # Errors
    /// If it has not ended within `limit`.
    pub fn kill(&self, limit: Duration) -> Result<ExitStatus> {
        self.pidfd.kill(limit)?;
        Ok(lock(&self.child).wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // It fails only for a process that has ended.
        drop(child.kill());
        // It fails only if the child was waited for elsewhere, and then it has ended.
        drop(child.wait());
    }
}

/// A process that the farm must wait for: a pid namespace ends when all its processes are reaped.
#[derive(Debug)]
pub(super) struct ChildHandle(Arc<Mutex<Child>>);

impl ChildHandle {
    pub(super) fn reap(self) {
        // It fails only if the child was waited for elsewhere, and then it has ended.
        drop(lock(&self.0).wait());
    }
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    // A panic in another thread does not leave a child half changed.
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
