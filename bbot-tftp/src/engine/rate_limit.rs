//! A bound on how often something is done.

use std::time::{Duration, Instant};

/// Permits an action a limited number of times per second.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: u32,
    left: u32,
    since: Instant,
}

impl RateLimit {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, left: per_second, since: now }
    }

    /// Returns whether the action is permitted at the time `now`, and counts it.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.left = self.per_second;
        }
        let is_permitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_permitted
    }
}
