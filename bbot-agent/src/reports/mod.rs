//! Delivery of the outbox to controllers: which entries are being posted, and when the next one is
//! due.

mod artifact_wait;
pub(crate) mod delivery;
pub(crate) mod foreign_answers;
pub(crate) mod poster;
mod schedule;

use std::sync::Arc;
use std::time::Instant;

use self::delivery::{DeliveryOutcome, Posted};
use self::poster::Poster;
use self::schedule::{Failure, Schedule};
use crate::diag;
use crate::outbox::{EntryId, Outbox, OutboxError};

/// The outbox, its posting threads and their schedule.
#[derive(Debug)]
pub(crate) struct Reports {
    /// Results on disk.
    pub(crate) outbox: Arc<Outbox>,
    poster: Poster,
    schedule: Schedule<EntryId>,
    /// From this size of the outbox on, in bytes, no task is requested.
    limit: u64,
    is_full: bool,
}

impl Reports {
    /// Delivers the entries of `outbox` by `poster`; [`Reports::is_full`] from `limit` bytes on.
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
                log_unreadable(error);
            }
        }
    }

    /// Records the outcome of an attempt to deliver an entry. Returns whether signing, which failed
    /// before, works again.
    pub(crate) fn posted(&mut self, posted: Posted) -> bool {
        let Posted { entry, signed, outcome } = posted;
        let now = Instant::now();
        let could_not_sign = self.schedule.cannot_sign();
        if signed {
            self.schedule.signed(now);
        }
        match outcome {
            DeliveryOutcome::Delivered => self.schedule.done(&entry),
            DeliveryOutcome::Kept { reason, failure } => self.kept(&entry, &reason, failure, now),
            DeliveryOutcome::DeadLettered(reason) => {
                self.schedule.done(&entry);
                diag::error(format_args!("a result was moved to the dead letters: {reason}"));
            }
        }
        let cannot_sign = self.schedule.cannot_sign();
        if cannot_sign && !could_not_sign {
            diag::error("no authenticated work is asked for until signing works again");
        } else if could_not_sign && !cannot_sign {
            diag::info("signing works again, as far as is known");
        }
        could_not_sign && !cannot_sign
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

    /// Returns whether an attempt to deliver an entry is under way.
    pub(crate) fn is_posting(&self) -> bool {
        self.schedule.is_posting()
    }

    /// Returns whether the last attempt to sign a challenge failed (W37).
    pub(crate) fn cannot_sign(&self) -> bool {
        self.schedule.cannot_sign()
    }

    /// Returns whether the outbox has reached its limit, so that no task is to be requested (W38);
    /// logs each change.
    pub(crate) fn is_full(&mut self) -> bool {
        let size = match self.outbox.size() {
            Ok(size) => size,
            Err(error) => {
                log_unreadable(error);
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

fn log_unreadable(error: OutboxError) {
    let error = anyhow::Error::new(error);
    diag::error(format_args!("cannot look into the outbox: {error:#}"));
}
