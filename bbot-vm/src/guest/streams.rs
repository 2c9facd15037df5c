//! What a hypervisor's process writes: its monitor's messages, the console, standard error.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ChildStderr;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::console_log::ConsoleLog;
use crate::qmp::{Event, Reader, Received};

/// How much of standard error is kept, in bytes. It is short unless the program is broken.
const STDERR_MAX: usize = 16 * 1024;
/// How much is read after the process has ended, in bytes: its buffers hold less.
const DRAIN_MAX: usize = 4 << 20;

/// What the process writes to. A stream that was closed is `None`.
pub(super) struct Streams {
    stderr: Option<ChildStderr>,
    /// The end of what came from standard error.
    stderr_end: Vec<u8>,
    console: Option<(UnixStream, ConsoleLog)>,
    qmp: Option<Reader>,
}

impl Streams {
    pub(super) fn new(
        stderr: Option<ChildStderr>,
        console: Option<(UnixStream, ConsoleLog)>,
        qmp: Reader,
    ) -> Streams {
        Streams { stderr, stderr_end: Vec::new(), console, qmp: Some(qmp) }
    }

    /// Waits until there is something to read, or the process has ended. Returns whether it has.
    ///
    /// This wait has no limit: it lasts as long as the guest, which its owner ends.
    pub(super) fn wait(&self, pidfd: BorrowedFd<'_>) -> bool {
        let streams = [
            self.stderr.as_ref().map(AsFd::as_fd),
            self.console.as_ref().map(|(console, _)| console.as_fd()),
            self.qmp.as_ref().map(AsFd::as_fd),
        ];
        let fds = std::iter::once(pidfd).chain(streams.into_iter().flatten());
        let mut polled: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut polled, PollTimeout::NONE) {
            // Flags that nix has no name for read as `None`.
            Ok(_) => polled[0].any().unwrap_or(true),
            // A signal, or the kernel is short of memory: the caller waits again.
            Err(_) => false,
        }
    }

    /// Reads a bounded piece of each. Returns how many bytes came from console and standard error.
    pub(super) fn receive(&mut self, on_event: &mut dyn FnMut(Event)) -> usize {
        if self.qmp.as_mut().is_some_and(|qmp| qmp.receive(on_event) == Received::Closed) {
            self.qmp = None;
        }
        self.receive_console() + self.receive_stderr()
    }

    fn receive_console(&mut self) -> usize {
        let Some((console, log)) = &mut self.console else { return 0 };
        let mut buffer = [0; 16 * 1024];
        match recv(console.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) if length > 0 => {
                log.append(&buffer[..length]);
                length
            }
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Ok(_) | Err(_) => {
                self.console = None;
                0
            }
        }
    }

    fn receive_stderr(&mut self) -> usize {
        let Some(stderr) = &mut self.stderr else { return 0 };
        let mut buffer = [0; 4 * 1024];
        match stderr.read(&mut buffer) {
            Ok(length) if length > 0 => {
                self.stderr_end.extend_from_slice(&buffer[..length]);
                let excess = self.stderr_end.len().saturating_sub(STDERR_MAX);
                self.stderr_end.drain(..excess);
                length
            }
            Err(error) if is_transient(&error) => 0,
            Ok(_) | Err(_) => {
                self.stderr = None;
                0
            }
        }
    }

    /// Reads what the process has left in the buffers, and closes the streams. Returns the end of
    /// standard error.
    pub(super) fn finish(mut self, on_event: &mut dyn FnMut(Event)) -> String {
        self.drain(on_event);
        String::from_utf8_lossy(&self.stderr_end).into_owned()
    }

    fn drain(&mut self, on_event: &mut dyn FnMut(Event)) {
        let mut total = 0;
        while total < DRAIN_MAX {
            match self.receive(on_event) {
                0 => break,
                length => total += length,
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
