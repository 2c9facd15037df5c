//! How the hypervisor of a guest ended, and whose doing that was (W54, W55). Pure.

use std::fmt;

use bbot_vm::event::ShutdownCause;

/// The signals that a process gets for what it does itself: SIGILL, SIGTRAP, SIGABRT, SIGBUS,
/// SIGFPE, SIGSEGV and SIGSYS, by their numbers on x86-64. All others are sent by another process
/// or, for a limit of the host, by the kernel.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

/// How the hypervisor of a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The guest turned itself off, and the hypervisor has written everything to the disk.
    PoweredOff,
    /// The guest reset itself.
    Reset,
    /// The guest's operating system panicked.
    Panicked,
    /// The hypervisor ended with exit code 0, and did not report why.
    Unexplained,
    /// Another process ended the hypervisor, by a signal or through a monitor, or an error of the
    /// host did.
    ByHost,
    /// The hypervisor crashed, or ended because of an error. A guest can cause that.
    Crashed,
}

impl Exit {
    /// Classifies the end of a hypervisor that sent `reason` in its `SHUTDOWN` event, if it sent
    /// one, and then exited with `code`, or was ended by `signal`.
    pub(crate) fn new(
        reason: Option<&ShutdownCause>,
        code: Option<i32>,
        signal: Option<i32>,
    ) -> Self {
        match (reason, code, signal) {
            // A hypervisor that is told to end by a signal exits with code 0.
            (
                Some(
                    ShutdownCause::HostError
                    | ShutdownCause::HostQuit
                    | ShutdownCause::HostReset
                    | ShutdownCause::HostSignal
                    | ShutdownCause::HostUi,
                ),
                ..,
            ) => Self::ByHost,
            (_, _, Some(signal)) if FAULTS.contains(&signal) => Self::Crashed,
            (_, _, Some(_)) => Self::ByHost,
            // With `-action panic=exit-failure` the code is 1.
            (Some(ShutdownCause::GuestPanic), ..) => Self::Panicked,
            (Some(ShutdownCause::GuestShutdown), Some(0), _) => Self::PoweredOff,
            (Some(ShutdownCause::GuestReset), Some(0), _) => Self::Reset,
            (_, Some(0), _) => Self::Unexplained,
            (_, Some(_) | None, _) => Self::Crashed,
        }
    }

    /// Returns whether the guest or its hypervisor failed, rather than ended in order.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Panicked | Self::Crashed)
    }
}

/// Writes the end as a clause.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PoweredOff => "the guest turned itself off",
            Self::Reset => "the guest reset itself",
            Self::Panicked => "the guest's operating system panicked",
            Self::Unexplained => "the hypervisor exited for an unknown reason",
            Self::ByHost => "the hypervisor was ended from outside",
            Self::Crashed => "the hypervisor failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reason: Option<&str>, code: Option<i32>, signal: Option<i32>, expected: Exit) {
        let cause = reason.map(|reason| ShutdownCause::from(reason.to_owned()));
        let exit = Exit::new(cause.as_ref(), code, signal);
        assert_eq!(exit, expected, "{reason:?}, code {code:?}, signal {signal:?}");
    }

    /// W54: a disk is whole only after `guest-shutdown` and exit code 0.
    #[test]
    fn one_combination_is_a_clean_end() {
        let reasons = [
            "none",
            "host-error",
            "host-qmp-quit",
            "host-qmp-system-reset",
            "host-signal",
            "host-ui",
            "guest-shutdown",
            "guest-reset",
            "guest-panic",
            "subsystem-reset",
            "snapshot-load",
            "a-later-reason",
            "",
        ];
        let ends = [(Some(0), None), (Some(1), None), (Some(134), None), (None, None)];
        let signals = (1..65).map(|signal| (None, Some(signal)));
        for (code, signal) in ends.into_iter().chain(signals) {
            for reason in reasons.iter().copied().map(Some).chain([None]) {
                let cause = reason.map(|reason| ShutdownCause::from(reason.to_owned()));
                let is_clean = Exit::new(cause.as_ref(), code, signal) == Exit::PoweredOff;
                let expected = reason == Some("guest-shutdown") && code == Some(0);
                assert_eq!(is_clean, expected, "{reason:?}, code {code:?}, signal {signal:?}");
            }
        }
    }

    /// W55: what others do to the hypervisor is the host's; what a guest can cause is not.
    #[test]
    fn signals_and_codes_have_an_author() {
        for signal in [1, 2, 3, 9, 10, 12, 13, 14, 15, 24, 25, 34, 64] {
            check(None, None, Some(signal), Exit::ByHost);
            check(Some("guest-shutdown"), None, Some(signal), Exit::ByHost);
        }
        for signal in FAULTS {
            check(None, None, Some(signal), Exit::Crashed);
            check(Some("guest-shutdown"), None, Some(signal), Exit::Crashed);
            check(Some("host-signal"), None, Some(signal), Exit::ByHost);
        }
        for code in [1, 2, 255] {
            check(None, Some(code), None, Exit::Crashed);
            check(Some("guest-shutdown"), Some(code), None, Exit::Crashed);
            check(Some("guest-reset"), Some(code), None, Exit::Crashed);
            check(Some("guest-panic"), Some(code), None, Exit::Panicked);
        }
        for reason in ["host-signal", "host-qmp-quit", "host-ui", "host-error"] {
            check(Some(reason), Some(0), None, Exit::ByHost);
            check(Some(reason), Some(1), None, Exit::ByHost);
        }
        check(Some("guest-reset"), Some(0), None, Exit::Reset);
        check(Some("guest-panic"), Some(0), None, Exit::Panicked);
        check(Some("a-later-reason"), Some(0), None, Exit::Unexplained);
        check(None, Some(0), None, Exit::Unexplained);
        check(None, None, None, Exit::Crashed);
    }
}
