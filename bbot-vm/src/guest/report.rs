//! Which events are passed on to the caller.

use std::sync::mpsc::Receiver;

use crate::event::GuestEvent;
use crate::exit::GuestExit;
use crate::qmp;

/// How many events are passed on in a guest's life. There are few, unless the guest causes them on
/// purpose.
const EVENTS_MAX: usize = 4096;
/// How many more of [`GuestEvent::Shutdown`] are passed on, which decides what the exit means. QEMU
/// sends one.
const SHUTDOWNS_MAX: usize = 16;

/// The name of the event that tells why the hypervisor ends.
const SHUTDOWN: &str = "SHUTDOWN";

/// Passes events on, once the guest has started.
pub(super) struct Reporter<F> {
    started: Receiver<()>,
    has_started: bool,
    /// How many more events are passed on.
    left: usize,
    shutdowns_left: usize,
    /// What was reported of the end before the start had ended: it decides what the exit means.
    early_shutdown: Option<qmp::Event>,
    events: F,
}

impl<F: FnMut(GuestEvent)> Reporter<F> {
    pub(super) fn new(started: Receiver<()>, events: F) -> Reporter<F> {
        Reporter {
            started,
            has_started: false,
            left: EVENTS_MAX,
            shutdowns_left: SHUTDOWNS_MAX,
            early_shutdown: None,
            events,
        }
    }

    pub(super) fn report(&mut self, event: qmp::Event) {
        if !self.has_started && self.started.try_recv().is_ok() {
            self.begin();
        }
        if self.has_started {
            self.pass_on(event);
        } else if event.name == SHUTDOWN {
            self.early_shutdown = Some(event);
        }
    }

    /// If the start has neither succeeded nor failed yet, this waits until it has, which takes no
    /// time now that the process has ended. A failed start is reported by its caller.
    pub(super) fn report_exit(mut self, exit: GuestExit) {
        if !self.has_started && self.started.recv().is_ok() {
            self.begin();
        }
        if self.has_started {
            (self.events)(GuestEvent::Exited(exit));
        }
    }

    fn begin(&mut self) {
        self.has_started = true;
        if let Some(shutdown) = self.early_shutdown.take() {
            self.pass_on(shutdown);
        }
    }

    fn pass_on(&mut self, event: qmp::Event) {
        let left = if event.name == SHUTDOWN { &mut self.shutdowns_left } else { &mut self.left };
        if *left > 0 {
            *left -= 1;
            (self.events)(GuestEvent::from_event(event));
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
    /// `after` after, then `shutdowns`.
    fn reported(before: usize, success: bool, after: usize, shutdowns: usize) -> Vec<GuestEvent> {
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
        (0..shutdowns).for_each(|_| reporter.report(event("SHUTDOWN")));
        reporter.report_exit(exit());
        events.iter().collect()
    }

    #[test]
    fn events_begin_with_the_start_and_end_with_the_exit() {
        let exited = GuestEvent::Exited(exit());
        assert_eq!(reported(2, true, 1, 0), [GuestEvent::Resumed, exited.clone()]);
        assert_eq!(reported(2, true, 0, 0), [exited]);
        assert_eq!(reported(2, false, 1, 0), []);
    }

    /// A hypervisor may end while its start is still being completed.
    #[test]
    fn a_shutdown_before_the_end_of_the_start_is_reported() {
        for more in [0, 1] {
            let (has_started, started) = channel();
            let (sender, events) = channel();
            let mut reporter = Reporter::new(started, move |event| sender.send(event).unwrap());
            let event =
                |name: &str| qmp::Event { name: name.into(), data: serde_json::Value::Null };
            reporter.report(event("STOP"));
            reporter.report(event("SHUTDOWN"));
            has_started.send(()).unwrap();
            (0..more).for_each(|_| reporter.report(event("RESUME")));
            reporter.report_exit(exit());
            let events: Vec<_> = events.iter().collect();
            assert!(matches!(events[0], GuestEvent::Shutdown { .. }), "{events:?}");
            assert_eq!(events.len(), 2 + more);
        }
    }

    #[test]
    fn a_flood_of_events_hides_neither_the_shutdown_nor_the_exit() {
        let events = reported(0, true, 10 * EVENTS_MAX, 1);
        assert_eq!(events.len(), EVENTS_MAX + 2);
        assert!(matches!(events[EVENTS_MAX], GuestEvent::Shutdown { .. }));
        assert_eq!(events.last(), Some(&GuestEvent::Exited(exit())));
        let events = reported(0, true, 0, 10 * SHUTDOWNS_MAX);
        assert_eq!(events.len(), SHUTDOWNS_MAX + 1);
    }
}
