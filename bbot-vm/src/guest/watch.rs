//! The thread that watches a guest: its monitor, its console, its standard error, its end.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use super::console_log::ConsoleLog;
use super::exit_status::ExitStatus;
use super::report::Reporter;
use super::streams::Streams;
use crate::event::GuestEvent;
use crate::process::Process;
use crate::qmp::Reader;

/// What the thread owns.
pub(super) struct Watch<F> {
    pub(super) process: Process,
    /// The console, and where its output is kept.
    pub(super) console: Option<(UnixStream, ConsoleLog)>,
    pub(super) qmp: Reader,
    pub(super) exit: ExitStatus,
    /// Received from when the guest has started; closed if it has not.
    pub(super) started: Receiver<()>,
    pub(super) events: F,
}

impl<F: FnMut(GuestEvent) + Send + 'static> Watch<F> {
    /// Starts the thread, named after the guest. If that fails, the process is killed.
    pub(super) fn spawn(self, guest: &str) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name(format!("vm-{guest}")).spawn(move || self.run())
    }

    /// Returns when the process has ended, and that has been reported.
    fn run(self) {
        let Watch { mut process, console, qmp, exit, started, events } = self;
        let mut reporter = Reporter::new(started, events);
        let mut streams = Streams::new(process.stderr.take(), console, qmp);
        while !streams.wait(process.pidfd.as_fd()) {
            streams.receive(&mut |event| reporter.report(event));
        }
        let stderr = streams.finish(&mut |event| reporter.report(event));
        let ended = process.reap(stderr);
        exit.set(ended.clone());
        reporter.report_exit(ended);
    }
}
