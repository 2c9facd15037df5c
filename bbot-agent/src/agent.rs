//! What the rooms of the house share.

use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::controller::auth::Signer;
use crate::controller::client::Client;
use crate::diag;
use crate::event::{Event, Events};
use crate::machines::layout::Layout;
use crate::outbox::{EntryId, Outbox};
use crate::poster::{Poster, Posting};
use crate::schedule::rest::Rests;
use crate::status::Status;

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
    /// Whether the last challenge could not be signed (W37).
    pub(crate) cannot_sign: bool,
    /// What we tell of ourselves.
    pub(crate) status: Status,
    /// The machines that failed lately (W10).
    pub(crate) machine_rests: Rests<String>,
    /// The controllers that failed lately (W21, W22).
    pub(crate) url_rests: Rests<String>,
}

/// The outbox and its poster.
#[derive(Debug)]
pub(crate) struct Reports {
    /// Results on disk.
    pub(crate) outbox: Arc<Outbox>,
    /// Hands them over.
    pub(crate) poster: Poster,
    /// Entries that could not be posted lately.
    pub(crate) rests: Rests<EntryId>,
}

impl Agent {
    /// Waits for the next event that matters to the caller, until `deadline` at most.
    ///
    /// What came of posting a result matters to nobody who waits, so it is dealt with here.
    pub(crate) fn next_event(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            match self.events.next(deadline)? {
                Event::Posted { entry, posting } => self.posted(entry, posting),
                event => return Some(event),
            }
        }
    }

    /// Notes what came of posting a result.
    pub(crate) fn posted(&mut self, entry: EntryId, posting: Posting) {
        // W37: no more work is taken that could not be answered for.
        self.cannot_sign |= matches!(posting, Posting::Unsigned(_));
        let Some(reports) = &mut self.reports else { return };
        reports.poster.reported(&entry);
        match posting {
            Posting::Taken => {
                self.cannot_sign = false;
                reports.rests.succeeded(&entry);
            }
            Posting::Kept(reason) | Posting::Unsigned(reason) => {
                let place = reports.outbox.path(&entry).display().to_string();
                let pause = reports.rests.failed(entry, Instant::now(), fastrand::f64());
                diag::error(format_args!(
                    "cannot post a result: {reason}; it stays in {place}, next try in {pause:.0?}"
                ));
            }
            Posting::Dead(reason) => {
                reports.rests.succeeded(&entry);
                diag::error(format_args!("a result was moved to the dead letters: {reason}"));
            }
        }
    }

    /// Gives the poster every entry that does not rest (W4).
    pub(crate) fn hand_out_results(&mut self) {
        let Some(reports) = &mut self.reports else { return };
        let now = Instant::now();
        match reports.outbox.entries() {
            Ok(entries) => {
                for entry in entries {
                    if !reports.rests.is_resting(&entry, now) {
                        reports.poster.post(entry);
                    }
                }
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                diag::error(format_args!("cannot look into the outbox: {error:#}"));
            }
        }
    }

    /// Returns whether a result is on its way to its controller.
    pub(crate) fn is_posting(&self) -> bool {
        self.reports.as_ref().is_some_and(|reports| !reports.poster.is_idle())
    }

    /// Returns whether the agent is to do nothing new.
    pub(crate) fn is_stopping(&self) -> bool {
        self.events.signals.terminated() || self.events.signals.draining()
    }
}
