//! A hypervisor's running process, its monitor connection and the thread that watches it.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qapi::qmp;
use rustix::process::{Pid, Signal};

use super::exit_status::ExitStatus;
use crate::error::Error;
use crate::exit::GuestExit;
use crate::process::{self, KILL_LIMIT};
use crate::qmp::{Client, QmpError};

/// From a monitor command to its answer.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// A running hypervisor. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Hypervisor {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) monitor: Client,
    pub(super) exit: ExitStatus,
    /// Ends when the process has ended and that has been reported.
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Hypervisor {
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits until the hypervisor executes commands.
    pub(super) fn handshake(&mut self, limit: Duration) -> Result<(), QmpError> {
        self.monitor.handshake(limit)
    }

    /// Executes a monitor command whose answer is empty.
    pub(super) fn command<C: qapi::Command>(&mut self, command: C) -> Result<(), Error> {
        let answer = self.monitor.execute_untyped(command, COMMAND_LIMIT);
        answer.map(drop).map_err(|source| Error::Qmp { command: C::NAME, source })
    }

    /// Returns whether the guest's processors run.
    pub(super) fn is_running(&mut self) -> Result<bool, QmpError> {
        let status = self.monitor.execute_untyped(qmp::query_status {}, COMMAND_LIMIT)?;
        Ok(status["running"] == true)
    }

    /// Waits for the process's end. Returns nothing if it does not come within `limit`.
    pub(super) fn wait(&self, limit: Duration) -> Option<GuestExit> {
        self.exit.wait(limit)
    }

    /// Tells the hypervisor to quit, and kills it if it has not ended within `limit`.
    pub(super) fn quit(&mut self, limit: Duration) -> Result<GuestExit, Error> {
        let deadline = Instant::now() + limit;
        // Whatever the error is, the remedy is SIGKILL.
        if let Err(error) = self.monitor.execute(qmp::quit {}, limit) {
            log::debug!("guest {} is killed: quit failed: {error}", self.pid());
            return self.kill();
        }
        match self.exit.wait(deadline.saturating_duration_since(Instant::now())) {
            Some(exit) => Ok(exit),
            None => self.kill(),
        }
    }

    /// Returns how the process ended whose handshake failed with `cause`; it is killed if it has
    /// not ended.
    pub(super) fn end_failed_start(&mut self, cause: &QmpError) -> Result<GuestExit, Error> {
        // A closed monitor is the sign of a process that is exiting; its exit code explains why.
        let ending = matches!(cause, QmpError::Closed);
        match ending.then(|| self.exit.wait(COMMAND_LIMIT)).flatten() {
            Some(exit) => Ok(exit),
            None => self.kill(),
        }
    }

    fn kill(&mut self) -> Result<GuestExit, Error> {
        process::signal(self.pidfd.as_fd(), Signal::KILL);
        let survived = || Error::StillAlive { pid: self.pid(), limit: KILL_LIMIT };
        self.exit.wait(KILL_LIMIT).ok_or_else(survived)
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        let ended = self.exit.wait(Duration::ZERO).is_some() || self.kill().is_ok();
        // To join a thread whose process survived SIGKILL would take without limit. One that
        // panicked has printed its message already.
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            drop(thread.join());
        }
    }
}
