//! What the rooms of the house share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::controller::auth::Signer;
use crate::controller::client::Client;
use crate::event_loop::{Event, Events};
use crate::machines::enumerate::Requirements;
use crate::machines::layout::Layout;
use crate::observe::status::Status;
use crate::observe::systemd::Watchdog;
use crate::reports::Reports;
use crate::reports::delivery::Posted;
use crate::schedule::backoff::Backoff;

/// One instance of the agent.
#[derive(Debug)]
pub(crate) struct Agent {
    /// The command line, validated.
    pub(crate) config: Config,
    /// The names of machines on this host.
    pub(crate) layout: Layout,
    /// Everything that can wake us.
    pub(crate) events: Events,
    /// How controllers are reached.
    pub(crate) client: Arc<Client>,
    /// How challenges are answered, if `--auth-key` is given.
    pub(crate) signer: Option<Arc<Signer>>,
    /// Where results wait, and who hands them over; none if nothing is posted (`--fake-request`).
    pub(crate) reports: Option<Reports>,
    /// What we tell of ourselves.
    pub(crate) status: Status,
    /// When the service manager must be told that we live (W5).
    pub(crate) watchdog: Watchdog,
    /// The machines that failed lately (W10).
    pub(crate) machine_rests: Backoff<String>,
    /// The controllers that failed lately (W21, W22).
    pub(crate) url_rests: Backoff<String>,
    /// The hosts that controllers want their results at, where these are not their own (W23).
    pub(crate) result_hosts: HashMap<String, String>,
}

/// What a wait came to.
enum Wait {
    /// The deadline has passed.
    Over,
    /// Something for the caller.
    Event(Event),
    /// Something that has been dealt with.
    Chore,
}

impl Agent {
    /// Waits for the next event that matters to the caller, until `deadline` at most.
    ///
    /// What is due meanwhile is done on the way: results are posted (W4), and what came of posting
    /// them matters to nobody who waits.
    pub(crate) fn next_event(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            match self.wait(deadline) {
                Wait::Over => return None,
                Wait::Event(event) => return Some(event),
                Wait::Chore => {}
            }
        }
    }

    /// Waits until no result is on its way any more, until `deadline` at most.
    pub(crate) fn finish_posting(&mut self, deadline: Instant) {
        let is_posting = |agent: &Self| agent.reports.as_ref().is_some_and(Reports::is_posting);
        while is_posting(self) && !matches!(self.wait(deadline), Wait::Over) {}
    }

    /// Waits until something happens or is due.
    fn wait(&mut self, deadline: Instant) -> Wait {
        let chore = self.next_chore();
        // First, so that no flood of events keeps it from being done.
        if chore.is_some_and(|chore| chore <= Instant::now()) {
            self.do_chores();
            return Wait::Chore;
        }
        match self.events.next(chore.map_or(deadline, |chore| chore.min(deadline))) {
            Some(Event::Posted(posted)) => self.posted(posted),
            Some(event) => return Wait::Event(event),
            None if Instant::now() >= deadline => return Wait::Over,
            None => {}
        }
        Wait::Chore
    }

    /// When the loop itself has something to do, whatever it waits for.
    fn next_chore(&self) -> Option<Instant> {
        let results = self.reports.as_ref().and_then(Reports::next_due);
        [results, self.watchdog.due()].into_iter().flatten().min()
    }

    fn do_chores(&mut self) {
        let now = Instant::now();
        // W5: nobody else does: the manager shall see it if the loop hangs.
        if self.watchdog.take_due(now) {
            self.status.alive();
        }
        if self.reports.as_ref().and_then(Reports::next_due).is_some_and(|due| due <= now) {
            self.hand_out_results();
        }
    }

    /// Notes what came of posting a result.
    fn posted(&mut self, posted: Posted) {
        let Some(reports) = &mut self.reports else { return };
        if reports.posted(posted) {
            // Who refused us for want of a key has no reason to any more.
            self.url_rests = Backoff::new();
        }
    }

    /// Gives the poster every entry that is due (W4).
    pub(crate) fn hand_out_results(&mut self) {
        if let Some(reports) = &mut self.reports {
            reports.hand_out(Instant::now());
        }
    }

    /// Returns who answers challenges, if that can be done now (W37).
    pub(crate) fn able_signer(&self) -> Option<&Signer> {
        let cannot = self.reports.as_ref().is_some_and(Reports::cannot_sign);
        self.signer.as_deref().filter(|_| !cannot)
    }

    /// Returns what the machines must fit.
    pub(crate) fn wanted(&self) -> Requirements<'_> {
        let config = &self.config;
        // W20: without a limit nobody is interrupted.
        let priorities = config.controllers.iter().filter(|_| config.instance_max != 0);
        Requirements {
            toolchain_id: config.toolchain.id.as_deref(),
            worker: &config.worker_version,
            greatest: priorities.map(|controller| controller.priority).max(),
        }
    }

    /// Returns whether the agent is to do nothing new.
    pub(crate) fn is_stopping(&self) -> bool {
        self.events.signals.terminated() || self.events.signals.draining()
    }
}
