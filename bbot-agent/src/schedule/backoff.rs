//! Rests: who failed is left alone for a while, longer each time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// Who rests, and until when: 60 s at first, doubled up to an hour by each further failure, give
/// or take a tenth.
///
/// Kept in memory only: a restart is a fair reason to try again.
#[derive(Debug)]
pub(crate) struct Rests<K> {
    resting: HashMap<K, Rest>,
}

#[derive(Debug)]
struct Rest {
    until: Instant,
    failures: u32,
}

impl<K: Eq + Hash> Rests<K> {
    pub(crate) fn new() -> Self {
        Self { resting: HashMap::new() }
    }

    /// Returns whether `key` still rests.
    pub(crate) fn is_resting(&self, key: &K, now: Instant) -> bool {
        self.resting.get(key).is_some_and(|rest| now < rest.until)
    }

    /// Sends `key` to rest after a failure and returns for how long.
    ///
    /// `jitter` in [0, 1) spreads the end over a tenth more or less, so that many agents do not
    /// come back at once.
    pub(crate) fn failed(&mut self, key: K, now: Instant, jitter: f64) -> Duration {
        let rest = self.resting.entry(key).or_insert(Rest { until: now, failures: 0 });
        rest.failures = rest.failures.saturating_add(1);
        let length = length(rest.failures, jitter);
        rest.until = now + length;
        length
    }

    /// Forgets the failures of `key`: it has worked.
    pub(crate) fn succeeded(&mut self, key: &K) {
        self.resting.remove(key);
    }
}

/// Returns how long to rest after the `count`th failure in a row.
pub(crate) fn length(count: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << count.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(0.9 + 0.2 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_an_hour_and_success_resets() {
        let start = Instant::now();
        let mut rests = Rests::new();
        let lengths: Vec<u64> = (0..8).map(|_| rests.failed("m", start, 0.5).as_secs()).collect();
        assert_eq!(lengths, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert!(rests.is_resting(&"m", start + Duration::from_secs(3599)));
        assert!(!rests.is_resting(&"m", start + Duration::from_secs(3601)));
        assert!(!rests.is_resting(&"other", start));
        rests.succeeded(&"m");
        assert!(!rests.is_resting(&"m", start));
        assert_eq!(rests.failed("m", start, 0.0).as_secs(), 54);
    }
}
