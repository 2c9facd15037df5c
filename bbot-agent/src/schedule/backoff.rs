//! Exponential backoff: after a failure something is not tried again for a while, longer each time.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::pause::Pause;

const PAUSE: Pause = Pause::new(Duration::from_secs(60), Duration::from_secs(3600));

/// The keys (machines, URLs) that failed recently, and until when each is not to be tried: 60 s
/// after the first failure, doubled by each further one up to an hour, plus or minus 10 %.
///
/// Kept in memory only: a restart is a fair reason to try again.
#[derive(Debug)]
pub(crate) struct Backoff<K> {
    failed: HashMap<K, Failed>,
}

#[derive(Debug)]
struct Failed {
    until: Instant,
    failures: u32,
}

impl<K: Eq + Hash> Backoff<K> {
    pub(crate) fn new() -> Self {
        Self { failed: HashMap::new() }
    }

    /// Returns whether `key` is not to be tried yet.
    pub(crate) fn is_active(&self, key: &K, now: Instant) -> bool {
        self.failed.get(key).is_some_and(|failed| now < failed.until)
    }

    /// Records a failure of `key` and returns for how long it is not to be tried.
    ///
    /// `jitter` in [0, 1) moves the end by up to 10 % in either direction, so that many agents do
    /// not come back at once.
    pub(crate) fn record_failure(&mut self, key: K, now: Instant, jitter: f64) -> Duration {
        let failed = self.failed.entry(key).or_insert(Failed { until: now, failures: 0 });
        failed.failures = failed.failures.saturating_add(1);
        let delay = delay(failed.failures, jitter);
        failed.until = now + delay;
        delay
    }

    /// Records a success of `key`: its failures are forgotten.
    pub(crate) fn record_success(&mut self, key: &K) {
        self.failed.remove(key);
    }
}

/// Returns the delay after the `count`th failure in a row.
pub(crate) fn delay(count: u32, jitter: f64) -> Duration {
    PAUSE.after(count, jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W10, W21: 60 s, doubled up to an hour; a success resets it.
    #[test]
    fn doubles_up_to_an_hour_and_success_resets() {
        let start = Instant::now();
        let mut backoff = Backoff::new();
        let mut fail = |jitter| backoff.record_failure("m", start, jitter).as_secs();
        let delays = [0; 8].map(|_| fail(0.5));
        assert_eq!(delays, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert!(backoff.is_active(&"m", start + Duration::from_secs(3599)));
        assert!(!backoff.is_active(&"m", start + Duration::from_secs(3601)));
        assert!(!backoff.is_active(&"other", start));
        backoff.record_success(&"m");
        assert!(!backoff.is_active(&"m", start));
        assert_eq!(backoff.record_failure("m", start, 0.0).as_secs(), 54);
    }
}
