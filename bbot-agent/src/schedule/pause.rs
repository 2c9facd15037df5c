//! Pauses between attempts that grow. Pure.

use std::time::Duration;

/// Pauses between attempts: the first one, doubled by each further failure up to the longest one,
/// plus or minus 10 %.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pause {
    first: Duration,
    longest: Duration,
}

impl Pause {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// Returns the pause after the `count`th failure in a row; `jitter` is in [0, 1).
    pub(crate) fn after(self, count: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << count.saturating_sub(1).min(16));
        doubled.min(self.longest).mul_f64(0.9 + 0.2 * jitter)
    }
}
