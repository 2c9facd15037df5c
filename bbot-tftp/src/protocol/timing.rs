//! When a packet is sent again, and when a transfer is given up.

use std::time::{Duration, Instant};

/// The interval before the first measurement of a round trip.
const FIRST: Duration = Duration::from_secs(1);
/// The bounds of the interval after a measurement.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(5);
/// The minimum number of intervals before a transfer is given up whose timeout was negotiated.
const TRIES: u32 = 6;

/// The maximum of configured times, some 136 years: a longer one means that there is no limit, and
/// would exceed what an `Instant` holds.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(u32::MAX as u64);

/// The end of the transfer that owns the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends DATA again.
    Sender,
    /// Sends its ACK again, but later than the sender sends its DATA again.
    Receiver,
}

/// What [`Timing::expire`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// The deadline is not reached.
    Early,
    /// The packet is to be sent again.
    Again,
    /// There was no progress within the idle limit.
    GiveUp,
}

/// The retransmission timer of one transfer: adaptive (RFC 1123 section 4.2.3.2) unless the
/// interval was negotiated; reset by progress only, never by duplicates (T21, T22).
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    role: Role,
    /// The negotiated interval.
    fixed: Option<Duration>,
    /// The smoothed round-trip time and its variation.
    smoothed: Option<(Duration, Duration)>,
    /// The number of expiries since the last progress.
    backoff: u32,
    deadline: Option<Instant>,
    /// The time of the last progress.
    progress: Instant,
    idle_limit: Duration,
}

impl Timing {
    pub(crate) fn new(
        role: Role,
        fixed: Option<Duration>,
        idle_limit: Duration,
        now: Instant,
    ) -> Self {
        let idle_limit = idle_limit.max(fixed.unwrap_or_default() * TRIES).min(MAX_TIME);
        Self { role, fixed, smoothed: None, backoff: 0, deadline: None, progress: now, idle_limit }
    }

    /// Takes a measured round-trip time into account. That of a packet that was sent twice must
    /// not be used.
    pub(crate) fn sample(&mut self, trip: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (trip, trip / 2),
            Some((mean, variation)) => {
                ((mean * 7 + trip) / 8, (variation * 3 + mean.abs_diff(trip)) / 4)
            }
        });
    }

    /// The smoothed round-trip time, after the first measurement.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.smoothed.map(|(mean, _)| mean)
    }

    /// The interval that [`arm`](Self::arm) uses.
    pub(crate) fn interval(&self) -> Duration {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let base = self.smoothed.map_or(FIRST, |(mean, variation)| mean + variation * 4);
        let base = match self.role {
            Role::Sender => base.max(SHORTEST),
            Role::Receiver => base.max(SHORTEST) * 2,
        };
        (base * 2u32.pow(self.backoff.min(10))).min(LONGEST)
    }

    /// Starts the timer unless it is running.
    pub(crate) fn arm(&mut self, now: Instant) {
        if self.deadline.is_none() {
            self.deadline = Some(now + self.interval());
        }
    }

    /// Records progress: the timer stops until it is armed again.
    pub(crate) fn progress(&mut self, now: Instant) {
        self.progress = now;
        self.backoff = 0;
        self.deadline = None;
    }

    /// The time at which [`expire`](Self::expire) is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|d| d.min(self.progress + self.idle_limit))
    }

    /// Compares the deadline with `now`; [`Expiry::Again`] stops the timer until it is armed
    /// again.
    pub(crate) fn expire(&mut self, now: Instant) -> Expiry {
        if self.deadline().is_none_or(|d| now < d) {
            return Expiry::Early;
        }
        if now >= self.progress + self.idle_limit {
            self.deadline = None;
            return Expiry::GiveUp;
        }
        self.backoff += 1;
        self.deadline = None;
        Expiry::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn timing(fixed: Option<Duration>) -> (Timing, Instant) {
        let now = Instant::now();
        (Timing::new(Role::Sender, fixed, Duration::from_secs(30), now), now)
    }

    /// T21: one second before a sample, then from the round trip, doubled at each expiry.
    #[test]
    fn adapts_and_backs_off() {
        let (mut timing, mut now) = timing(None);
        assert_eq!(timing.interval(), FIRST);
        timing.sample(MS);
        assert_eq!(timing.interval(), SHORTEST);
        timing.sample(Duration::from_secs(9));
        assert_eq!(timing.interval(), LONGEST);
        for _ in 0..200 {
            timing.sample(40 * MS);
        }
        assert!(timing.interval() < 45 * MS);
        let start = now;
        let mut tries = 0;
        loop {
            timing.arm(now);
            now = timing.deadline().unwrap();
            match timing.expire(now) {
                Expiry::Again => tries += 1,
                Expiry::GiveUp => break,
                Expiry::Early => panic!("expired early"),
            }
        }
        assert_eq!(now - start, Duration::from_secs(30));
        assert!((8..20).contains(&tries), "{tries}");
    }

    /// T21: a negotiated timeout is a fixed interval, and extends the idle limit.
    #[test]
    fn fixed_interval() {
        let (mut timing, now) = timing(Some(Duration::from_secs(20)));
        timing.sample(MS);
        timing.arm(now);
        let first = now + Duration::from_secs(20);
        assert_eq!(timing.deadline(), Some(first));
        assert_eq!(timing.expire(now + 19_999 * MS), Expiry::Early);
        assert_eq!(timing.expire(first), Expiry::Again);
        timing.arm(first);
        assert_eq!(timing.deadline(), Some(first + Duration::from_secs(20)));
        assert_eq!(timing.expire(now + Duration::from_secs(120)), Expiry::GiveUp);
    }

    /// T22: only progress resets a running timer.
    #[test]
    fn progress_only() {
        let (mut timing, now) = timing(None);
        timing.arm(now);
        timing.arm(now + 500 * MS);
        assert_eq!(timing.deadline(), Some(now + FIRST));
        timing.progress(now + 600 * MS);
        assert_eq!(timing.deadline(), None);
        timing.arm(now + 600 * MS);
        assert_eq!(timing.deadline(), Some(now + 1600 * MS));
    }
}
