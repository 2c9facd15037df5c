//! When it is reported again that a wait continues. Pure.

use std::time::{Duration, Instant};

/// Determines, at each full period of a wait, for how long it has lasted.
#[derive(Debug)]
pub(crate) struct Reminder {
    start: Instant,
    period: Duration,
    /// The number of periods that have been reported.
    reported: u32,
}

impl Reminder {
    /// Begins a wait.
    pub(crate) fn new(start: Instant, period: Duration) -> Self {
        Self { start, period, reported: 0 }
    }

    /// Returns when the next period is over.
    pub(crate) fn due(&self) -> Instant {
        self.start + self.period.saturating_mul(self.reported + 1)
    }

    /// Returns for how long the wait has lasted, in full periods, if that is to be reported now. A
    /// caller that is late by several periods reports once.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Duration> {
        let waited = now.saturating_duration_since(self.start);
        let periods = u32::try_from(waited.as_nanos() / self.period.as_nanos()).ok()?;
        let is_due = periods > self.reported;
        self.reported = periods;
        is_due.then(|| self.period.saturating_mul(periods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W6: a warning each 60 s, whatever else wakes the loop meanwhile.
    #[test]
    fn each_minute_is_reported_once() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut reminder = Reminder::new(start, Duration::from_secs(60));
        assert_eq!(reminder.due(), after(60));
        let mut reported = Vec::new();
        for seconds in (0..400).filter(|seconds| !(190..310).contains(seconds)) {
            reported.extend(
                reminder.take_due(after(seconds)).map(|waited| (seconds, waited.as_secs())),
            );
            assert!(reminder.due() > after(seconds));
        }
        assert_eq!(reported, [(60, 60), (120, 120), (180, 180), (310, 300), (360, 360)]);
    }
}
