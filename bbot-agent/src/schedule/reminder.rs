//! When it is said again that a wait goes on. Pure.

use std::time::{Duration, Instant};

/// Tells, at each full period of a wait, for how long it has gone on.
#[derive(Debug)]
pub(crate) struct Reminder {
    start: Instant,
    period: Duration,
    /// The periods that have been told.
    told: u32,
}

impl Reminder {
    /// A wait begins.
    pub(crate) fn new(start: Instant, period: Duration) -> Self {
        Self { start, period, told: 0 }
    }

    /// Returns when the next period is over.
    pub(crate) fn due(&self) -> Instant {
        self.start + self.period.saturating_mul(self.told + 1)
    }

    /// Returns for how long the wait has gone on, in full periods, if that is to be said now; a
    /// loop that comes late says it once.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Duration> {
        let waited = now.saturating_duration_since(self.start);
        let periods = u32::try_from(waited.as_nanos() / self.period.as_nanos()).ok()?;
        let is_due = periods > self.told;
        self.told = periods;
        is_due.then(|| self.period.saturating_mul(periods))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W6: a warning each 60 s, whatever else wakes the loop meanwhile.
    #[test]
    fn each_minute_is_told_once() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut reminder = Reminder::new(start, Duration::from_secs(60));
        assert_eq!(reminder.due(), after(60));
        let mut told = Vec::new();
        for seconds in (0..400).filter(|seconds| !(190..310).contains(seconds)) {
            told.extend(
                reminder.take_due(after(seconds)).map(|waited| (seconds, waited.as_secs())),
            );
            assert!(reminder.due() > after(seconds));
        }
        assert_eq!(told, [(60, 60), (120, 120), (180, 180), (310, 300), (360, 360)]);
    }
}
