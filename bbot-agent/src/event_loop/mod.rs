//! The event loop: the one channel on which everything arrives that can wake the instance, and what
//! is done in the background of its waits.

mod channel;
mod event;
mod signals;

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::observe::systemd::{ServiceManager, Watchdog};
use crate::reports::Reports;

pub(crate) use channel::EventChannel;
pub(crate) use event::Event;
pub(crate) use signals::Signals;

/// Far enough away to stand for "no deadline".
pub(crate) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Waits for events. Results that are due are posted meanwhile (W4), and the service manager's
/// watchdog is fed (W5).
#[derive(Debug)]
pub(crate) struct EventLoop {
    channel: EventChannel,
    watchdog: Watchdog,
    manager: Arc<ServiceManager>,
    /// The results that wait for their controllers; none if nothing is posted (`--fake-request`).
    pub(crate) reports: Option<Reports>,
    is_signing_restored: bool,
}

/// How one wait ended.
enum Wait {
    Deadline,
    Event(Event),
    Chore,
}

impl EventLoop {
    pub(crate) fn new(
        channel: EventChannel,
        manager: Arc<ServiceManager>,
        reports: Option<Reports>,
    ) -> Self {
        let watchdog = Watchdog::from_env(Instant::now());
        Self { channel, watchdog, manager, reports, is_signing_restored: false }
    }

    /// Waits for the next event that concerns the caller, until `deadline` at most; `None` if it
    /// has passed.
    pub(crate) fn next(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            match self.wait(deadline) {
                Wait::Deadline => return None,
                Wait::Event(event) => return Some(event),
                Wait::Chore => {}
            }
        }
    }

    /// Waits until no result is being posted any more, until `deadline` at most.
    pub(crate) fn finish_posting(&mut self, deadline: Instant) {
        let is_posting = |this: &Self| this.reports.as_ref().is_some_and(Reports::is_posting);
        while is_posting(self) && !matches!(self.wait(deadline), Wait::Deadline) {}
    }

    /// Posts every result that is due (W4).
    pub(crate) fn post_due(&mut self) {
        if let Some(reports) = &mut self.reports {
            reports.hand_out(Instant::now());
        }
    }

    pub(crate) fn sender(&self) -> Sender<Event> {
        self.channel.sender()
    }

    pub(crate) fn signals(&self) -> &Signals {
        &self.channel.signals
    }

    /// Returns whether signing works again since this was last asked (W37).
    pub(crate) fn take_signing_restored(&mut self) -> bool {
        std::mem::take(&mut self.is_signing_restored)
    }

    fn wait(&mut self, deadline: Instant) -> Wait {
        let chore = self.next_chore();
        // First, so that no flood of events keeps it from being done.
        if chore.is_some_and(|chore| chore <= Instant::now()) {
            self.do_chores();
            return Wait::Chore;
        }
        match self.channel.next(chore.map_or(deadline, |chore| chore.min(deadline))) {
            Some(Event::Posted(posted)) => {
                if let Some(reports) = &mut self.reports {
                    self.is_signing_restored |= reports.posted(posted);
                }
            }
            Some(event) => return Wait::Event(event),
            None if Instant::now() >= deadline => return Wait::Deadline,
            None => {}
        }
        Wait::Chore
    }

    /// Returns when the next chore is due, whatever the caller waits for.
    fn next_chore(&self) -> Option<Instant> {
        [self.next_post(), self.watchdog.due()].into_iter().flatten().min()
    }

    fn next_post(&self) -> Option<Instant> {
        self.reports.as_ref().and_then(Reports::next_due)
    }

    fn do_chores(&mut self) {
        let now = Instant::now();
        // W5: done here and nowhere else, so that the manager notices a loop that hangs.
        if self.watchdog.take_due(now) {
            self.manager.alive();
        }
        if self.next_post().is_some_and(|due| due <= now) {
            self.post_due();
        }
    }
}
