//! The thread that looks after a running guest: its monitor, its console, its last words, its end.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ChildStderr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::console::ConsoleLog;
use crate::guest::{GuestEvent, GuestExit};
use crate::process::Process;
use crate::qmp::{Reader, Received};

/// How much of the program's standard error is kept. It is short but for a broken program.
const STDERR_MAX: usize = 16 * 1024;
/// How many events are passed on in a guest's life. There are a handful, but for a QEMU that the
/// guest has taken over.
const EVENTS_MAX: usize = 4096;
/// How much is read from a program that is gone: its buffers hold less.
const LAST_WORDS_MAX: usize = 4 << 20;

/// How a guest ended, once it has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exit(Arc<(Mutex<Option<GuestExit>>, Condvar)>);

impl Exit {
    /// Waits for the end. Returns nothing if it does not come within `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<GuestExit> {
        let (exit, ended) = &*self.0;
        let exit = exit.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = ended.wait_timeout_while(exit, limit, |exit| exit.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn set(&self, value: GuestExit) {
        let (exit, ended) = &*self.0;
        *exit.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        ended.notify_all();
    }
}

/// What the thread looks after.
pub(crate) struct Watch<F> {
    pub(crate) process: Process,
    pub(crate) console: UnixStream,
    pub(crate) log: ConsoleLog,
    pub(crate) qmp: Reader,
    pub(crate) exit: Exit,
    /// Says that the guest has started; dropped if it has not.
    pub(crate) started: Receiver<()>,
    pub(crate) events: F,
}

impl<F: FnMut(GuestEvent) + Send + 'static> Watch<F> {
    /// Starts the thread, named after the guest. If that fails, the process is killed.
    pub(crate) fn spawn(self, guest: &str) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name(format!("vm-{guest}")).spawn(move || self.run())
    }

    /// Returns when the program is gone, and that has been reported.
    fn run(self) {
        let Watch { mut process, console, log, qmp, exit, started, events } = self;
        let mut reporter = Reporter { started, has_started: false, left: EVENTS_MAX, events };
        let mut streams = Streams {
            stderr: process.stderr.take(),
            last_words: Vec::new(),
            console: Some(console),
            log,
            qmp: Some(qmp),
        };
        while !streams.wait(process.pidfd.as_fd()) {
            streams.receive(&mut |name| reporter.report(name));
        }
        streams.drain(&mut |name| reporter.report(name));
        let stderr = String::from_utf8_lossy(&streams.last_words).into_owned();
        // Connection and log are closed before anybody is told that the guest is gone.
        drop(streams);
        let ended = process.reap(stderr);
        exit.set(ended.clone());
        reporter.report_exit(ended);
    }
}

/// Passes events on, from the moment that the guest has started.
struct Reporter<F> {
    started: Receiver<()>,
    has_started: bool,
    left: usize,
    events: F,
}

impl<F: FnMut(GuestEvent)> Reporter<F> {
    fn report(&mut self, name: String) {
        self.has_started = self.has_started || self.started.try_recv().is_ok();
        if self.has_started && self.left > 0 {
            self.left -= 1;
            (self.events)(GuestEvent::named(name));
        }
    }

    /// If the start has neither succeeded nor failed yet, this waits for it to do so, which it
    /// does at once now that the program is gone: the one who starts tells a failure himself.
    fn report_exit(mut self, exit: GuestExit) {
        if self.has_started || self.started.recv().is_ok() {
            (self.events)(GuestEvent::Exited(exit));
        }
    }
}

/// What the program writes; an end of it that is closed is nothing.
struct Streams {
    stderr: Option<ChildStderr>,
    last_words: Vec<u8>,
    console: Option<UnixStream>,
    log: ConsoleLog,
    qmp: Option<Reader>,
}

impl Streams {
    /// Waits until there is something to read, or the process is gone. Returns whether it is.
    ///
    /// There is no limit to this wait: it is the guest's life, and who owns the guest ends it.
    fn wait(&self, pidfd: BorrowedFd<'_>) -> bool {
        let streams = [
            self.stderr.as_ref().map(AsFd::as_fd),
            self.console.as_ref().map(AsFd::as_fd),
            self.qmp.as_ref().map(AsFd::as_fd),
        ];
        let fds = std::iter::once(pidfd).chain(streams.into_iter().flatten());
        let mut polled: Vec<_> =
            fds.map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match rustix::event::poll(&mut polled, None) {
            Ok(_) => !polled[0].revents().is_empty(),
            // A signal, or no memory for the moment: another look does no harm.
            Err(_) => false,
        }
    }

    /// Reads a bounded piece of each. Returns how much that was.
    fn receive(&mut self, on_event: &mut dyn FnMut(String)) -> usize {
        if self.qmp.as_mut().is_some_and(|qmp| qmp.receive(on_event) == Received::Closed) {
            self.qmp = None;
        }
        self.receive_console() + self.receive_stderr()
    }

    fn receive_console(&mut self) -> usize {
        let Some(console) = &self.console else { return 0 };
        let mut buffer = [0; 16 * 1024];
        match rustix::net::recv(console, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, length)) if length > 0 => {
                self.log.append(&buffer[..length]);
                length
            }
            Err(Errno::AGAIN | Errno::INTR) => 0,
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
                self.last_words.extend_from_slice(&buffer[..length]);
                let excess = self.last_words.len().saturating_sub(STDERR_MAX);
                self.last_words.drain(..excess);
                length
            }
            Err(error) if is_transient(&error) => 0,
            Ok(_) | Err(_) => {
                self.stderr = None;
                0
            }
        }
    }

    /// Reads what the program left in the buffers.
    fn drain(&mut self, on_event: &mut dyn FnMut(String)) {
        let mut total = 0;
        while total < LAST_WORDS_MAX {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn exit() -> GuestExit {
        GuestExit { code: Some(0), signal: None, stderr: String::new() }
    }

    /// What is told of a guest that has `before` events before its start ends, and `after` after.
    fn told(before: usize, success: bool, after: usize) -> Vec<GuestEvent> {
        let (has_started, started) = channel();
        let (sender, events) = channel();
        let events_to = move |event| sender.send(event).unwrap();
        let mut reporter =
            Reporter { started, has_started: false, left: EVENTS_MAX, events: events_to };
        (0..before).for_each(|_| reporter.report("STOP".into()));
        if success {
            has_started.send(()).unwrap();
        }
        drop(has_started);
        (0..after).for_each(|_| reporter.report("RESUME".into()));
        reporter.report_exit(exit());
        events.iter().collect()
    }

    #[test]
    fn events_begin_with_the_start_and_end_with_the_exit() {
        let exited = GuestEvent::Exited(exit());
        assert_eq!(told(2, true, 1), [GuestEvent::Resumed, exited.clone()]);
        assert_eq!(told(2, true, 0), [exited]);
        assert_eq!(told(2, false, 1), []);
    }

    #[test]
    fn a_flood_of_events_does_not_hide_the_exit() {
        let told = told(0, true, 10 * EVENTS_MAX);
        assert_eq!(told.len(), EVENTS_MAX + 1);
        assert_eq!(told.last(), Some(&GuestEvent::Exited(exit())));
    }
}
