//! A process that can be signalled and waited for without a race for its pid.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A file descriptor of a process: readable as soon as the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the descriptor of process `pid`, which must not have been waited for.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn open(pid: u32) -> Result<PidFd> {
        let pid = Pid::from_raw(i32::try_from(pid)?).context("0 is not a process")?;
        Ok(PidFd(pidfd_open(pid, PidfdFlags::empty()).context("cannot open a pidfd")?))
    }

    /// Sends a signal; to a process that has ended this does nothing.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno).context("cannot send a signal"),
        }
    }

    /// Waits until the process has ended, `limit` at most; returns whether it has.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait(&self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ended = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ended, timeout) {
                Ok(0) if left.is_zero() => return Ok(false),
                Ok(0) | Err(nix::Error::EINTR) => (),
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno).context("cannot wait for a process"),
            }
        }
    }

    /// Kills the process and returns when it has ended: it holds no file, lock or mount then.
    ///
    /// # Errors
    /// If it has not ended within `limit`.
    pub fn kill(&self, limit: Duration) -> Result<()> {
        self.signal(Signal::KILL)?;
        ensure!(self.wait(limit)?, "a killed process has not ended within {limit:?}");
        Ok(())
    }
}
