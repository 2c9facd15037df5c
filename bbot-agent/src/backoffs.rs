//! The machines and controllers that failed recently, and are left alone for a while.

use std::time::{Duration, Instant};

use bbot_manifest::MachineName;

use crate::event_loop::EventLoop;
use crate::schedule::backoff::Backoff;

/// What is left alone, in memory only.
#[derive(Debug)]
pub(crate) struct Backoffs {
    /// Machines (W10).
    machines: Backoff<String>,
    /// URLs of controllers (W21, W22).
    controllers: Backoff<String>,
}

impl Backoffs {
    pub(crate) fn new() -> Self {
        Self { machines: Backoff::new(), controllers: Backoff::new() }
    }

    pub(crate) fn is_machine_resting(&self, name: &MachineName, now: Instant) -> bool {
        self.machines.is_active(&name.to_string(), now)
    }

    /// Leaves a machine alone, and returns for how long.
    pub(crate) fn machine_failed(&mut self, name: &MachineName) -> Duration {
        self.machines.record_failure(name.to_string(), Instant::now(), fastrand::f64())
    }

    pub(crate) fn machine_worked(&mut self, name: &MachineName) {
        self.machines.record_success(&name.to_string());
    }

    pub(crate) fn is_controller_resting(&self, url: &str, now: Instant) -> bool {
        self.controllers.is_active(&url.to_owned(), now)
    }

    pub(crate) fn controller_failed(&mut self, url: &str) {
        self.controllers.record_failure(url.to_owned(), Instant::now(), fastrand::f64());
    }

    pub(crate) fn controller_worked(&mut self, url: &str) {
        self.controllers.record_success(&url.to_owned());
    }

    /// Forgets the failures of controllers if signing works again: those that refused us for want
    /// of a key have no reason to any more (W37).
    pub(crate) fn note_signing(&mut self, events: &mut EventLoop) {
        if events.take_signing_restored() {
            self.controllers = Backoff::new();
        }
    }
}
