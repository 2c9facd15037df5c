//! Which events are passed on to the caller.

use std::sync::mpsc::Receiver;

use crate::event::GuestEvent;
use crate::exit::GuestExit;
use crate::qmp;

/// How many events are passed on in a guest's life. There are few, unless QEMU is under the
/// control of its guest.
const EVENTS_MAX: usize = 4096;

/// Passes events on, once the guest has started.
pub(super) struct Reporter<F> {
    started: Receiver<()>,
    has_started: bool,
    /// How many more events are passed on.
    left: usize,
    events: F,
}

impl<F: FnMut(GuestEvent)> Reporter<F> {
    pub(super) fn new(started: Receiver<()>, events: F) -> Reporter<F> {
        Reporter { started, has_started: false, left: EVENTS_MAX, events }
    }

    pub(super) fn report(&mut self, event: qmp::Event) {
        self.has_started = self.has_started || self.started.try_recv().is_ok();
        if self.has_started && self.left > 0 {
            self.left -= 1;
            (self.events)(GuestEvent::from_event(event));
        }
    }

    /// If the start has neither succeeded nor failed yet, this waits until it has, which takes no
    /// time now that the process has ended. A failed start is reported by its caller.
    pub(super) fn report_exit(mut self, exit: GuestExit) {
        if self.has_started || self.started.recv().is_ok() {
            (self.events)(GuestEvent::Exited(exit));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn exit() -> GuestExit {
        GuestExit { code: Some(0), signal: None, stderr: String::new() }
    }

    /// Returns what is reported of a guest that has `before` events before its start ends, and
    /// `after` after.
    fn reported(before: usize, success: bool, after: usize) -> Vec<GuestEvent> {
        let (has_started, started) = channel();
        let (sender, events) = channel();
        let events_to = move |event| sender.send(event).unwrap();
        let mut reporter = Reporter::new(started, events_to);
        let event = |name: &str| qmp::Event { name: name.into(), data: serde_json::Value::Null };
        (0..before).for_each(|_| reporter.report(event("STOP")));
        if success {
            has_started.send(()).unwrap();
        }
        drop(has_started);
        (0..after).for_each(|_| reporter.report(event("RESUME")));
        reporter.report_exit(exit());
        events.iter().collect()
    }

    #[test]
    fn events_begin_with_the_start_and_end_with_the_exit() {
        let exited = GuestEvent::Exited(exit());
        assert_eq!(reported(2, true, 1), [GuestEvent::Resumed, exited.clone()]);
        assert_eq!(reported(2, true, 0), [exited]);
        assert_eq!(reported(2, false, 1), []);
    }

    #[test]
    fn a_flood_of_events_does_not_hide_the_exit() {
        let reported = reported(0, true, 10 * EVENTS_MAX);
        assert_eq!(reported.len(), EVENTS_MAX + 1);
        assert_eq!(reported.last(), Some(&GuestEvent::Exited(exit())));
    }
}
