//! The state machine of one guest. Pure: no clock, no I/O.
//!
//! The caller passes what happened and when, and does what the returned action says. The guest of a
//! bootstrap and that of a build differ in their limits, in the names of the files that complete
//! them and in how they end: the disk of a bootstrap is kept, so its guest is powered down; the
//! guest of a build is forced down.

use std::time::{Duration, Instant};

/// How long transfers may take to become durable after the guest's exit; the server's own limit is
/// shorter.
const DRAIN: Duration = Duration::from_secs(15);

/// The message for [`End::DiskFull`].
const DISK_FULL: &str = "no space is left on the host's disk";

/// What a guest is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Installing the toolchain; ends with a clean power-down (W14).
    Bootstrap,
    /// Performing a task; ends as soon as the result is durable (W28).
    Build,
}

impl Job {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Build => "build",
        }
    }

    /// Returns the names of the files that complete the job, the current name first.
    pub(crate) fn result_files(self) -> [&'static str; 2] {
        match self {
            Self::Bootstrap => ["bootstrap.manifest", "manifest"],
            Self::Build => ["result.manifest.lz4", "result.manifest"],
        }
    }
}

/// The limits of a guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From the start to the first request; beyond it is a mis-boot.
    pub(crate) startup: Duration,
    /// From the first request to the durable result.
    pub(crate) work: Duration,
    /// From the request to power down to the guest's exit.
    pub(crate) shutdown: Duration,
}

/// How the guest of a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The file of this name is durable; the guest of a bootstrap has powered down, too.
    Complete(String),
    /// No request came within the startup limit (W13).
    MisBoot,
    /// No result was stored within the limit.
    TimedOut,
    /// The result is durable, but the guest did not power down.
    WouldNotShutDown,
    /// The guest exited without a result (W29).
    Exited {
        /// QEMU was ended by a signal: a failure of the host, not of the guest.
        by_signal: bool,
    },
    /// The host's disk is full (W26).
    DiskFull,
    /// The guest cannot reach its TFTP server any more, by a change on the host (W70).
    NetworkLost,
    /// Another instance asked for the machine (W30).
    Interrupted,
    /// The agent is being stopped (W40).
    Terminated,
}

/// The message for [`End::NetworkLost`].
const NETWORK_LOST: &str = "the network of the guest is lost";

impl End {
    /// Returns the failure of the host that ended the guest, if one did (W68).
    pub(crate) fn host_failure(&self) -> Option<&'static str> {
        match self {
            Self::DiskFull => Some(DISK_FULL),
            Self::NetworkLost => Some(NETWORK_LOST),
            _ => None,
        }
    }

    /// Returns whether to boot again in a fresh snapshot: after a mis-boot, `retries` times at most
    /// (W13, W26); `boots` counts the boots so far.
    pub(crate) fn is_worth_another_boot(&self, boots: u32, retries: u32) -> bool {
        *self == Self::MisBoot && boots <= retries
    }
}

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wait for the next event, at most until [`Run::deadline`].
    Wait,
    /// Let the transfers whose data has all arrived finish, then pass [`Input::Drained`].
    Drain,
    /// Ask the guest to power down.
    PowerDown,
    /// The run has ended.
    End(End),
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// The guest sent its first TFTP request.
    FirstRequest,
    /// This file has been uploaded and is durable.
    Stored {
        file: &'a str,
        /// Its length.
        bytes: u64,
    },
    /// The guest's process ended.
    Exited { by_signal: bool },
    /// No transfer is left that could complete.
    Drained,
    /// The deadline has passed.
    Deadline,
    /// The host's disk is too full for what the guest or its worker wrote.
    DiskFull,
    /// The guest cannot reach its TFTP server any more.
    NetworkLost,
    /// SIGUSR1 of the current epoch.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Startup,
    Working,
    PoweringDown { file: String },
    Draining { by_signal: bool },
    Ended,
}

/// The state of one guest: pass it inputs, do the actions that it returns.
#[derive(Debug)]
pub(crate) struct Run {
    job: Job,
    limits: Limits,
    state: State,
    deadline: Instant,
}

impl Run {
    /// A guest that was started at `now`.
    pub(crate) fn new(job: Job, limits: Limits, now: Instant) -> Self {
        Self { job, limits, state: State::Startup, deadline: now + limits.startup }
    }

    /// Returns when to pass [`Input::Deadline`] if nothing else happens before.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes what happened at `now` and returns what to do.
    pub(crate) fn step(&mut self, input: Input<'_>, now: Instant) -> Action {
        match (&self.state, input) {
            (State::Ended, _) => Action::Wait,
            (_, Input::Terminate) => self.end(End::Terminated),
            (_, Input::DiskFull) => self.end(End::DiskFull),
            // A guest that powers down, or is gone, needs no network.
            (State::Startup | State::Working, Input::NetworkLost) => self.end(End::NetworkLost),
            (State::Startup | State::Working, Input::Interrupt) if self.job == Job::Build => {
                self.end(End::Interrupted)
            }
            (State::Startup, Input::FirstRequest) => {
                self.state = State::Working;
                self.deadline = now + self.limits.work;
                Action::Wait
            }
            (State::Startup | State::Working, Input::Stored { file, bytes }) => {
                self.stored(file, bytes, now)
            }
            (State::Draining { .. }, Input::Stored { file, bytes })
                if self.completes(file, bytes) =>
            {
                self.end(End::Complete(file.to_owned()))
            }
            (State::Startup | State::Working, Input::Exited { by_signal }) => {
                self.state = State::Draining { by_signal };
                self.deadline = now + DRAIN;
                Action::Drain
            }
            (State::Draining { by_signal }, Input::Drained) => {
                let by_signal = *by_signal;
                self.end(End::Exited { by_signal })
            }
            (State::PoweringDown { file }, Input::Exited { .. }) => {
                let file = file.clone();
                self.end(End::Complete(file))
            }
            (State::Startup, Input::Deadline) if now >= self.deadline => self.end(End::MisBoot),
            (State::Working, Input::Deadline) if now >= self.deadline => self.end(End::TimedOut),
            (State::PoweringDown { .. }, Input::Deadline) if now >= self.deadline => {
                self.end(End::WouldNotShutDown)
            }
            (State::Draining { by_signal }, Input::Deadline) if now >= self.deadline => {
                let by_signal = *by_signal;
                self.end(End::Exited { by_signal })
            }
            // Late and repeated inputs change nothing. A bootstrap is not interrupted, nor is a
            // task whose result is complete.
            (State::Draining { .. }, Input::Stored { .. } | Input::Exited { .. })
            | (State::Startup | State::Working | State::PoweringDown { .. }, Input::Drained)
            | (State::PoweringDown { .. }, Input::Stored { .. })
            | (_, Input::Deadline | Input::FirstRequest)
            | (_, Input::Interrupt | Input::NetworkLost) => Action::Wait,
        }
    }

    /// The first durable result completes the job, even if the guest uploads another one.
    fn stored(&mut self, file: &str, bytes: u64, now: Instant) -> Action {
        if !self.completes(file, bytes) {
            return Action::Wait;
        }
        match self.job {
            Job::Build => self.end(End::Complete(file.to_owned())),
            Job::Bootstrap => {
                self.state = State::PoweringDown { file: file.to_owned() };
                self.deadline = now + self.limits.shutdown;
                Action::PowerDown
            }
        }
    }

    fn completes(&self, file: &str, bytes: u64) -> bool {
        bytes > 0 && self.job.result_files().contains(&file)
    }

    fn end(&mut self, end: End) -> Action {
        self.state = State::Ended;
        Action::End(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        startup: Duration::from_secs(120),
        work: Duration::from_secs(5400),
        shutdown: Duration::from_secs(300),
    };

    /// Feeds a script of (seconds since the start, input) and returns the last answer.
    #[track_caller]
    fn check(job: Job, script: &[(u64, Input<'_>)], expected: &Action) {
        let start = Instant::now();
        let mut run = Run::new(job, LIMITS, start);
        let mut last = Action::Wait;
        for (seconds, input) in script {
            assert!(!matches!(last, Action::End(_)), "ended too early: {last:?}");
            last = run.step(*input, start + Duration::from_secs(*seconds));
        }
        assert_eq!(last, *expected);
    }

    fn stored(file: &str) -> Input<'_> {
        Input::Stored { file, bytes: 1 }
    }

    const RESULT: &str = "result.manifest.lz4";
    const EXIT: Input<'static> = Input::Exited { by_signal: false };
    const KILLED: Input<'static> = Input::Exited { by_signal: true };
    use Input::{Deadline, Drained, FirstRequest, Interrupt, Terminate};

    fn complete(file: &str) -> Action {
        Action::End(End::Complete(file.into()))
    }

    /// W28: the complete, non-empty result ends the build at once.
    #[test]
    fn a_durable_result_completes_a_build() {
        check(Job::Build, &[(6, FirstRequest), (60, stored(RESULT))], &complete(RESULT));
        let old = "result.manifest";
        check(Job::Build, &[(6, FirstRequest), (60, stored(old))], &complete(old));
        let empty = Input::Stored { file: RESULT, bytes: 0 };
        check(Job::Build, &[(6, FirstRequest), (60, empty)], &Action::Wait);
        check(Job::Build, &[(6, FirstRequest), (60, stored("upload.tar"))], &Action::Wait);
    }

    /// W26: no request within the startup limit is a mis-boot, not a moment earlier.
    #[test]
    fn silence_is_a_misboot() {
        check(Job::Build, &[(119, Deadline)], &Action::Wait);
        check(Job::Build, &[(120, Deadline)], &Action::End(End::MisBoot));
        check(Job::Build, &[(119, FirstRequest), (120, Deadline)], &Action::Wait);
    }

    /// W13, W26: as many further boots as were asked for, and for mis-boots only.
    #[test]
    fn misboots_are_retried() {
        for (retries, expected) in [(0, 1), (1, 2), (2, 3)] {
            let boots = (1..9).find(|&boots| !End::MisBoot.is_worth_another_boot(boots, retries));
            assert_eq!(boots, Some(expected));
        }
        for end in [End::TimedOut, End::Interrupted, End::Exited { by_signal: false }] {
            assert!(!end.is_worth_another_boot(1, 2), "{end:?}");
        }
    }

    /// The work's limit counts from the first request.
    #[test]
    fn a_build_that_takes_too_long_times_out() {
        check(Job::Build, &[(100, FirstRequest), (5499, Deadline)], &Action::Wait);
        let late = [(100, FirstRequest), (5500, Deadline)];
        check(Job::Build, &late, &Action::End(End::TimedOut));
    }

    /// W14: a bootstrap ends by power-down after its manifest is durable.
    #[test]
    fn a_bootstrap_is_powered_down() {
        let file = "bootstrap.manifest";
        check(Job::Bootstrap, &[(6, FirstRequest), (60, stored(file))], &Action::PowerDown);
        let whole = [(6, FirstRequest), (60, stored(file)), (70, EXIT)];
        check(Job::Bootstrap, &whole, &complete(file));
        let stuck = [(6, FirstRequest), (60, stored(file)), (360, Deadline)];
        check(Job::Bootstrap, &stuck, &Action::End(End::WouldNotShutDown));
        let old = [(6, FirstRequest), (60, stored("manifest")), (70, EXIT)];
        check(Job::Bootstrap, &old, &complete("manifest"));
        check(Job::Bootstrap, &[(6, FirstRequest), (60, stored(RESULT))], &Action::Wait);
    }

    /// W29: after the guest's exit, an upload whose data has all arrived still counts.
    #[test]
    fn an_exit_is_judged_after_the_transfers() {
        check(Job::Build, &[(6, FirstRequest), (60, EXIT)], &Action::Drain);
        let done = [(6, FirstRequest), (60, EXIT), (61, stored(RESULT))];
        check(Job::Build, &done, &complete(RESULT));
        for (exit, by_signal) in [(EXIT, false), (KILLED, true)] {
            let none = [(6, FirstRequest), (60, exit), (61, Drained)];
            check(Job::Build, &none, &Action::End(End::Exited { by_signal }));
        }
        check(Job::Build, &[(60, EXIT), (74, Deadline)], &Action::Wait);
        let end = Action::End(End::Exited { by_signal: false });
        check(Job::Build, &[(60, EXIT), (75, Deadline)], &end);
        check(Job::Bootstrap, &[(1, EXIT)], &Action::Drain);
    }

    /// W30: an interrupt ends a build before its result is complete, never a bootstrap.
    #[test]
    fn interrupts_reach_builds_only() {
        check(Job::Build, &[(1, Interrupt)], &Action::End(End::Interrupted));
        check(Job::Build, &[(6, FirstRequest), (7, Interrupt)], &Action::End(End::Interrupted));
        check(Job::Bootstrap, &[(6, FirstRequest), (7, Interrupt)], &Action::Wait);
    }

    /// W70: a guest that cannot reach its server any more is not waited for; one that needs no
    /// network any more is not disturbed.
    #[test]
    fn a_lost_network_ends_what_needs_it() {
        let end = Action::End(End::NetworkLost);
        for job in [Job::Build, Job::Bootstrap] {
            check(job, &[(1, Input::NetworkLost)], &end);
            check(job, &[(6, FirstRequest), (7, Input::NetworkLost)], &end);
            check(job, &[(6, FirstRequest), (7, EXIT), (8, Input::NetworkLost)], &Action::Wait);
        }
        let file = "bootstrap.manifest";
        let late = [(6, FirstRequest), (60, stored(file)), (61, Input::NetworkLost)];
        check(Job::Bootstrap, &late, &Action::Wait);
        assert!(
            End::NetworkLost.host_failure().is_some() && End::DiskFull.host_failure().is_some()
        );
        assert_eq!(End::TimedOut.host_failure(), None);
    }

    /// W26: on a full disk nothing that follows can be trusted.
    #[test]
    fn a_full_disk_ends_everything() {
        let end = Action::End(End::DiskFull);
        for job in [Job::Build, Job::Bootstrap] {
            check(job, &[(1, Input::DiskFull)], &end);
            check(job, &[(6, FirstRequest), (7, EXIT), (8, Input::DiskFull)], &end);
        }
        let file = "bootstrap.manifest";
        let late = [(6, FirstRequest), (60, stored(file)), (61, Input::DiskFull)];
        check(Job::Bootstrap, &late, &end);
    }

    #[test]
    fn termination_ends_everything() {
        for job in [Job::Build, Job::Bootstrap] {
            check(job, &[(1, Terminate)], &Action::End(End::Terminated));
            check(job, &[(1, EXIT), (1, Terminate)], &Action::End(End::Terminated));
        }
    }

    mod laws {
        use super::*;
        use proptest::prelude::*;

        const FILES: [&str; 4] = [RESULT, "bootstrap.manifest", "upload.tar", "result.manifest"];

        fn input() -> impl Strategy<Value = Input<'static>> {
            prop_oneof![
                Just(FirstRequest),
                (0..FILES.len(), 0..3_u64)
                    .prop_map(|(file, bytes)| Input::Stored { file: FILES[file], bytes }),
                any::<bool>().prop_map(|by_signal| Input::Exited { by_signal }),
                Just(Drained),
                Just(Deadline),
                Just(Input::DiskFull),
                Just(Input::NetworkLost),
                Just(Interrupt),
                Just(Terminate),
            ]
        }

        proptest! {
            /// Whatever comes in whatever order: W14, W28, W29, W30 and W40 hold.
            #[test]
            fn hold_for_every_history(
                history in prop::collection::vec((input(), 0..400_u64), 0..40),
                bootstrap: bool,
            ) {
                let job = if bootstrap { Job::Bootstrap } else { Job::Build };
                let mut now = Instant::now();
                let mut run = Run::new(job, LIMITS, now);
                let (mut ended, mut exited, mut complete) = (false, false, false);
                let mut powered_down = 0;
                for (input, seconds) in history {
                    now += Duration::from_secs(seconds);
                    let action = run.step(input, now);
                    if let Input::Stored { file, bytes } = input {
                        complete |= bytes > 0 && job.result_files().contains(&file);
                    }
                    exited |= matches!(input, Input::Exited { .. });
                    if ended {
                        prop_assert_eq!(&action, &Action::Wait, "after the end");
                    }
                    if matches!(input, Terminate) && !ended {
                        prop_assert_eq!(&action, &Action::End(End::Terminated));
                    }
                    powered_down += u32::from(action == Action::PowerDown);
                    match &action {
                        Action::End(End::Complete(_)) => {
                            prop_assert!(complete, "complete without a result");
                            prop_assert!(job == Job::Build || exited, "the guest is still up");
                        }
                        Action::End(End::Interrupted) => prop_assert_eq!(job, Job::Build),
                        Action::End(End::Exited { .. }) => {
                            prop_assert!(exited && !complete);
                        }
                        Action::End(End::TimedOut | End::MisBoot) => prop_assert!(!complete),
                        _ => {}
                    }
                    ended |= matches!(action, Action::End(_));
                }
                prop_assert!(powered_down <= u32::from(bootstrap));
            }
        }
    }
}
