//! Whether a guest that went wrong is kept for an operator's look, and until when (W27). Pure.

use std::fmt;
use std::time::Instant;

use super::run::End;
use crate::config::HoldTimeout;
use crate::event_loop::NEVER;

/// A guest that is kept, its processors standing still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    until: Option<Instant>,
}

/// What happens during a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The guest's process ended: an operator has seen enough, or let it go on to its end.
    Exited,
    /// The deadline has passed.
    Deadline,
    /// SIGUSR1 (W30).
    Interrupt,
    /// SIGTERM, SIGINT or SIGHUP: the hold's task is answered, there is nothing to finish.
    Stop,
}

/// Why a hold is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The guest is gone.
    Exited,
    /// It has taken as long as it may.
    Expired,
    /// The agent is being stopped.
    Stopped,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exited => "the guest has exited",
            Self::Expired => "its time is over",
            Self::Stopped => "the agent is being stopped",
        })
    }
}

impl Hold {
    /// Returns the hold that is due at `now` for a guest that ended its job by `end`, if one is;
    /// `concern` is why an operator should look at it, `is_ending` whether the agent stops after
    /// this job.
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

    /// Returns when it ends by itself, if it does.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Returns when to feed [`News::Deadline`] if nothing else happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        self.until.unwrap_or(now + NEVER)
    }

    /// Takes what happened at `now` and says whether, and why, the hold is over.
    pub(crate) fn step(&self, news: News, now: Instant) -> Option<Over> {
        match news {
            News::Exited => Some(Over::Exited),
            News::Stop => Some(Over::Stopped),
            News::Deadline if self.until.is_some_and(|until| until <= now) => Some(Over::Expired),
            News::Deadline | News::Interrupt => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMIT: HoldTimeout = HoldTimeout::Limit(Duration::from_secs(60));

    /// W27: what gives cause for a look is held, unless there is nothing to look at, or nobody to
    /// hold it.
    #[test]
    fn due_for_a_guest_that_gives_cause() {
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
        for by_signal in [false, true] {
            assert_eq!(due(&End::Exited { by_signal }, concern, LIMIT, false), None);
        }
    }

    /// W27, W30: the guest's exit, the time and a stop end a hold; SIGUSR1 does not.
    #[test]
    fn ends_by_exit_time_or_stop() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let limited = Hold { until: Some(later) };
        let endless = Hold { until: None };
        for (news, at, limited_over, endless_over) in [
            (News::Exited, now, Some(Over::Exited), Some(Over::Exited)),
            (News::Stop, now, Some(Over::Stopped), Some(Over::Stopped)),
            (News::Interrupt, later, None, None),
            (News::Deadline, now, None, None),
            (News::Deadline, later, Some(Over::Expired), None),
        ] {
            assert_eq!(limited.step(news, at), limited_over, "{news:?}");
            assert_eq!(endless.step(news, at), endless_over, "{news:?}");
        }
        assert_eq!(limited.deadline(now), later);
        assert!(endless.deadline(now) > now + Duration::from_secs(1_000_000_000));
    }
}
