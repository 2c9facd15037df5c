//! Whether the guest of a failed job is held for an operator to inspect, and until when (W27).
//! Pure.

use std::fmt;
use std::time::Instant;

use super::run::End;
use crate::config::HoldTimeout;
use crate::event_loop::NEVER;

/// The hold of a guest, during which its processors are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    until: Option<Instant>,
}

/// What happens during a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldEvent {
    /// The guest's process ended: an operator ended it, or let the guest go on to its end.
    Exited,
    Deadline,
    /// SIGUSR1 (W30).
    Interrupt,
    /// SIGTERM, SIGINT or SIGHUP: the task has been answered, there is nothing to finish.
    Stop,
}

/// Why a hold is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldEnd {
    Exited,
    Expired,
    Stopped,
}

impl fmt::Display for HoldEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exited => "the guest has exited",
            Self::Expired => "its time is over",
            Self::Stopped => "the agent is being stopped",
        })
    }
}

impl Hold {
    /// Returns the hold that begins at `now` for a guest that ended its job by `end`, if it is to
    /// be held; `concern` is why an operator should inspect it, `is_ending` whether the agent stops
    /// after this job.
    pub(crate) fn due(
        end: &End,
        concern: Option<&str>,
        timeout: HoldTimeout,
        is_ending: bool,
        now: Instant,
    ) -> Option<Self> {
        let is_there = !matches!(end, End::Exited { .. });
        if concern.is_none() || !is_there || is_ending {
            return None;
        }
        match timeout {
            HoldTimeout::Never => None,
            HoldTimeout::Limit(limit) => Some(Self { until: Some(now + limit) }),
            HoldTimeout::Forever => Some(Self { until: None }),
        }
    }

    /// Returns when it ends by itself; `None`: never.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Returns when to pass [`HoldEvent::Deadline`] to [`step`](Self::step) if nothing else happens
    /// before.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        self.until.unwrap_or(now + NEVER)
    }

    /// Takes what happened at `now`; returns why the hold is over, if it is.
    pub(crate) fn step(&self, event: HoldEvent, now: Instant) -> Option<HoldEnd> {
        match event {
            HoldEvent::Exited => Some(HoldEnd::Exited),
            HoldEvent::Stop => Some(HoldEnd::Stopped),
            HoldEvent::Deadline if self.until.is_some_and(|until| until <= now) => {
                Some(HoldEnd::Expired)
            }
            HoldEvent::Deadline | HoldEvent::Interrupt => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exit::Exit;
    use super::super::sign::Halt;
    use super::*;
    use std::time::Duration;

    const LIMIT: HoldTimeout = HoldTimeout::Limit(Duration::from_secs(60));

    /// W27: a guest that raises a concern is held, unless it has exited or the agent stops.
    #[test]
    fn due_for_a_guest_that_raises_a_concern() {
        let now = Instant::now();
        let due = |end: &End, concern, timeout, is_ending| {
            Hold::due(end, concern, timeout, is_ending, now).map(|hold| hold.until())
        };
        let concern = Some("build timeout");
        let complete = End::Complete("result.manifest.lz4".into());
        for end in [End::MisBoot, End::TimedOut, End::WouldNotShutDown, complete] {
            assert_eq!(due(&end, concern, LIMIT, false), Some(Some(now + Duration::from_secs(60))));
            assert_eq!(due(&end, concern, HoldTimeout::Forever, false), Some(None));
            assert_eq!(due(&end, concern, HoldTimeout::Never, false), None);
            assert_eq!(due(&end, concern, LIMIT, true), None);
            assert_eq!(due(&end, None, LIMIT, false), None);
        }
        let halted = End::Halted { halt: Halt::Panicked, has_asked: true };
        assert!(due(&halted, concern, LIMIT, false).is_some());
        for has_asked in [false, true] {
            let end = End::Exited { exit: Exit::Crashed, has_asked };
            assert_eq!(due(&end, concern, LIMIT, false), None);
        }
    }

    /// W27, W30: the guest's exit, the time and a stop end a hold; SIGUSR1 does not.
    #[test]
    fn ends_by_exit_time_or_stop() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let limited = Hold { until: Some(later) };
        let endless = Hold { until: None };
        for (event, at, limited_over, endless_over) in [
            (HoldEvent::Exited, now, Some(HoldEnd::Exited), Some(HoldEnd::Exited)),
            (HoldEvent::Stop, now, Some(HoldEnd::Stopped), Some(HoldEnd::Stopped)),
            (HoldEvent::Interrupt, later, None, None),
            (HoldEvent::Deadline, now, None, None),
            (HoldEvent::Deadline, later, Some(HoldEnd::Expired), None),
        ] {
            assert_eq!(limited.step(event, at), limited_over, "{event:?}");
            assert_eq!(endless.step(event, at), endless_over, "{event:?}");
        }
        assert_eq!(limited.deadline(now), later);
        assert!(endless.deadline(now) > now + Duration::from_secs(1_000_000_000));
    }
}
