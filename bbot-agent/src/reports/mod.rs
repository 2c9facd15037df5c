//! The outbox at work: what waits in it, what is on its way, when the next one is due.

pub(crate) mod patience;
pub(crate) mod poster;
pub(crate) mod schedule;

use std::sync::Arc;
use std::time::Instant;

use crate::diag;
use crate::outbox::{EntryId, Outbox, OutboxError};
use crate::reports::poster::{Poster, Posting};
use crate::reports::schedule::{Failure, Schedule};

/// The outbox, its poster and its schedule.
#[derive(Debug)]
pub(crate) struct Reports {
    /// Results on disk.
    pub(crate) outbox: Arc<Outbox>,
    poster: Poster,
    schedule: Schedule<EntryId>,
    /// The bytes from which on no task is asked for.
    limit: u64,
    is_full: bool,
}

impl Reports {
    /// Posts what is in `outbox` by `poster`; `limit` bytes in it are enough.
    pub(crate) fn new(outbox: Arc<Outbox>, poster: Poster, limit: u64) -> Self {
        Self { outbox, poster, schedule: Schedule::new(), limit, is_full: false }
    }

    /// Gives the poster every entry that is due (W4).
    pub(crate) fn hand_out(&mut self, now: Instant) {
        match self.outbox.entries() {
            Ok(waiting) => {
                for entry in self.schedule.hand_out(waiting, now) {
                    self.poster.post(entry);
                }
            }
            Err(error) => {
                self.schedule.put_off(now);
                cannot_look(error);
            }
        }
    }

    /// Notes what came of posting an entry. Returns whether signing works again by that.
    pub(crate) fn posted(&mut self, entry: &EntryId, signed: bool, posting: Posting) -> bool {
        let now = Instant::now();
        let could_not_sign = self.schedule.cannot_sign();
        if signed {
            self.schedule.signed(now);
        }
        match posting {
            Posting::Taken => self.schedule.done(entry),
            Posting::Kept { reason, failure } => self.kept(entry, &reason, failure, now),
            Posting::Dead(reason) => {
                self.schedule.done(entry);
                diag::error(format_args!("a result was moved to the dead letters: {reason}"));
            }
        }
        match (could_not_sign, self.schedule.cannot_sign()) {
            (true, false) => {
                diag::info("signing works again, as far as is known");
                true
            }
            (false, true) => {
                diag::error("no authenticated work is asked for until signing works again");
                false
            }
            _ => false,
        }
    }

    fn kept(&mut self, entry: &EntryId, reason: &str, failure: Failure, now: Instant) {
        let place = self.outbox.path(entry).display().to_string();
        let pause = self.schedule.failed(entry, failure, now, fastrand::f64());
        diag::warn(format_args!(
            "cannot post a result: {reason}; it stays in {place}, next try in {pause:.1?}"
        ));
    }

    /// Returns when the next entry becomes due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.schedule.next_due()
    }

    /// Returns whether a result is on its way to its controller.
    pub(crate) fn is_posting(&self) -> bool {
        self.schedule.is_posting()
    }

    /// Returns whether a challenge could not be signed lately (W37).
    pub(crate) fn cannot_sign(&self) -> bool {
        self.schedule.cannot_sign()
    }

    /// Returns whether so much waits for controllers that no task is to be asked for (W38); says so
    /// when that changes.
    pub(crate) fn is_full(&mut self) -> bool {
        let size = match self.outbox.size() {
            Ok(size) => size,
            Err(error) => {
                cannot_look(error);
                return true;
            }
        };
        let is_full = size >= self.limit;
        match (self.is_full, is_full) {
            (false, true) => diag::error(format_args!(
                "{size} bytes wait in the outbox, no task is asked for from {} on",
                self.limit
            )),
            (true, false) => diag::info("tasks are asked for again"),
            _ => {}
        }
        self.is_full = is_full;
        is_full
    }
}

fn cannot_look(error: OutboxError) {
    let error = anyhow::Error::new(error);
    diag::error(format_args!("cannot look into the outbox: {error:#}"));
}
