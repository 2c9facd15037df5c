//! The life of a guest, by tables and by every history.

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
const EXIT: Input<'static> = Input::Exited { code: Some(0), signal: None };
const FAILED: Input<'static> = Input::Exited { code: Some(1), signal: None };
const KILLED: Input<'static> = Input::Exited { code: None, signal: Some(9) };
use Input::{Deadline, Drained, FirstRequest, Interrupt, Terminate};

fn event(message: &str) -> GuestEvent {
    GuestEvent::from_qmp(message).unwrap()
}

fn shutdown(reason: &str) -> GuestEvent {
    let is_guest = reason.starts_with("guest");
    event(&format!(
        r#"{{"event": "SHUTDOWN", "data": {{"guest": {is_guest}, "reason": "{reason}"}}}}"#
    ))
}

fn exited(exit: Exit) -> Action {
    Action::End(End::Exited { exit, has_asked: true })
}

fn exited_early(exit: Exit) -> Action {
    Action::End(End::Exited { exit, has_asked: false })
}

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
    for end in [End::TimedOut, End::Interrupted, End::WouldNotShutDown] {
        assert!(!end.is_worth_another_boot(1, 2), "{end:?}");
    }
    // W55: an exit before the first request is one, unless the host caused it.
    for (exit, expected) in [
        (Exit::Reset, true),
        (Exit::PoweredOff, true),
        (Exit::Panicked, true),
        (Exit::Unexplained, true),
        (Exit::Crashed, true),
        (Exit::ByHost, false),
    ] {
        let end = End::Exited { exit, has_asked: false };
        assert_eq!(end.is_worth_another_boot(1, 2), expected, "{exit:?}");
        assert!(!end.is_worth_another_boot(3, 2), "{exit:?}");
        let end = End::Exited { exit, has_asked: true };
        assert!(!end.is_worth_another_boot(1, 2), "{exit:?}");
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
    let off = shutdown("guest-shutdown");
    let off = Input::Event(&off);
    let whole = [(6, FirstRequest), (60, stored(file)), (69, off), (70, EXIT)];
    check(Job::Bootstrap, &whole, &complete(file));
    let stuck = [(6, FirstRequest), (60, stored(file)), (360, Deadline)];
    check(Job::Bootstrap, &stuck, &Action::End(End::WouldNotShutDown));
    let old = [(6, FirstRequest), (60, stored("manifest")), (69, off), (70, EXIT)];
    check(Job::Bootstrap, &old, &complete("manifest"));
    check(Job::Bootstrap, &[(6, FirstRequest), (60, stored(RESULT))], &Action::Wait);
}

/// W29: after the guest's exit, an upload whose data has all arrived still counts.
#[test]
fn an_exit_is_judged_after_the_transfers() {
    check(Job::Build, &[(6, FirstRequest), (60, EXIT)], &Action::Drain);
    let done = [(6, FirstRequest), (60, EXIT), (61, stored(RESULT))];
    check(Job::Build, &done, &complete(RESULT));
    for (exit, expected) in [(EXIT, Exit::Unexplained), (KILLED, Exit::ByHost)] {
        let none = [(6, FirstRequest), (60, exit), (61, Drained)];
        check(Job::Build, &none, &exited(expected));
    }
    check(Job::Build, &[(60, EXIT), (74, Deadline)], &Action::Wait);
    check(Job::Build, &[(60, EXIT), (75, Deadline)], &exited_early(Exit::Unexplained));
    check(Job::Bootstrap, &[(1, EXIT)], &Action::Drain);
}

/// W55: whether the first request came is known when the server has finished: its event may follow
/// that of the exit.
#[test]
fn an_exit_is_early_only_without_a_request() {
    let reset = shutdown("guest-reset");
    let reset = (5, Input::Event(&reset));
    for job in [Job::Build, Job::Bootstrap] {
        check(job, &[reset, (6, EXIT), (7, Drained)], &exited_early(Exit::Reset));
        check(job, &[reset, (6, EXIT), (30, Deadline)], &exited_early(Exit::Reset));
        let late = [reset, (6, EXIT), (6, FirstRequest), (7, Drained)];
        check(job, &late, &exited(Exit::Reset));
        check(job, &[(1, FirstRequest), reset, (6, EXIT), (7, Drained)], &exited(Exit::Reset));
    }
}

/// W54: a bootstrap is complete only if the guest turned itself off, and the hypervisor wrote
/// everything to the disk: before the exit, whatever came first of manifest and exit.
#[test]
fn a_disk_counts_after_a_clean_power_down() {
    let file = "bootstrap.manifest";
    let (off, reset) = (shutdown("guest-shutdown"), shutdown("guest-reset"));
    let (panic, signal, quit) =
        (shutdown("guest-panic"), shutdown("host-signal"), shutdown("host-qmp-quit"));
    let none: &[&GuestEvent] = &[];
    for (events, exit, expected) in [
        (&[&off][..], EXIT, None),
        (none, EXIT, Some(Exit::Unexplained)),
        (none, KILLED, Some(Exit::ByHost)),
        (none, FAILED, Some(Exit::Crashed)),
        (&[&off], KILLED, Some(Exit::ByHost)),
        (&[&off], FAILED, Some(Exit::Crashed)),
        (&[&off], Input::Exited { code: None, signal: Some(11) }, Some(Exit::Crashed)),
        (&[&reset], EXIT, Some(Exit::Reset)),
        (&[&panic], EXIT, Some(Exit::Panicked)),
        (&[&signal], EXIT, Some(Exit::ByHost)),
        (&[&quit], EXIT, Some(Exit::ByHost)),
        (&[&off, &signal], EXIT, Some(Exit::ByHost)),
        (&[&reset, &off], EXIT, Some(Exit::Reset)),
    ] {
        let events: Vec<_> = events.iter().map(|&event| (69, Input::Event(event))).collect();
        let end = expected.map_or_else(|| complete(file), exited);
        let begin = [(6, FirstRequest), (60, stored(file))];
        check(Job::Bootstrap, &[&begin, &events[..], &[(70, exit)]].concat(), &end);
        let late = [(70, exit), (71, stored(file))];
        let late = [&[(6, FirstRequest)], &events[..], &late].concat();
        match expected {
            None => check(Job::Bootstrap, &late, &end),
            Some(_) => check(Job::Bootstrap, &[&late[..], &[(72, Drained)]].concat(), &end),
        }
    }
    // An event after the exit changes nothing.
    let after = [(6, FirstRequest), (60, EXIT), (61, Input::Event(&off)), (62, stored(file))];
    check(Job::Bootstrap, &after, &Action::Wait);
}

/// W27: every failure raises a concern, what the host did does not.
#[test]
fn a_failure_is_a_concern() {
    for end in [
        End::Complete("bootstrap.manifest".into()),
        End::Terminated,
        End::Interrupted,
        End::DiskFull,
        End::NetworkLost,
    ] {
        assert_eq!(end.failure(Job::Bootstrap), None, "{end:?}");
    }
    let exited = |has_asked| End::Exited { exit: Exit::PoweredOff, has_asked };
    let ends = [End::MisBoot, End::TimedOut, End::WouldNotShutDown, exited(false), exited(true)];
    for end in ends {
        assert!(end.failure(Job::Bootstrap).is_some(), "{end:?}");
    }
}

/// W30: an interrupt ends a build before its result is complete, never a bootstrap.
#[test]
fn interrupts_reach_builds_only() {
    check(Job::Build, &[(1, Interrupt)], &Action::End(End::Interrupted));
    check(Job::Build, &[(6, FirstRequest), (7, Interrupt)], &Action::End(End::Interrupted));
    check(Job::Bootstrap, &[(6, FirstRequest), (7, Interrupt)], &Action::Wait);
}

/// W70: a guest that cannot reach its server any more is not waited for; one that needs no network
/// any more is not disturbed.
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
    let failures = [End::NetworkLost, End::DiskFull].map(|end| end.host_failure().is_some());
    assert_eq!(failures, [true; 2]);
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

/// What an event does to a guest that has not exited.
#[derive(Clone, Copy)]
enum Effect {
    Nothing,
    /// It ends the run after these seconds, with the transfers that are complete.
    Halts(u64, Halt),
    /// The same, but it changes nothing before the first request.
    HaltsLater(Halt),
    /// The same, but it changes nothing while a bootstrap powers down.
    HaltsUnasked(u64, Halt),
    FillsDisk,
    Fails(HostFailure),
}
use Effect::{Fails, FillsDisk, Halts, HaltsLater, HaltsUnasked, Nothing};

/// Every event with its data (W56).
const TABLE: &[(&str, &str, Effect)] = &[
    ("SUSPEND", "", Halts(0, Halt::Suspended)),
    ("SUSPEND_DISK", "", Halts(0, Halt::Hibernated)),
    ("WAKEUP", "", Nothing),
    ("POWERDOWN", "", Nothing),
    ("RESUME", "", Nothing),
    ("STOP", "", Halts(10, Halt::Stopped)),
    ("GUEST_PANICKED", r#""action": "pause""#, Halts(0, Halt::Panicked)),
    ("GUEST_PANICKED", r#""action": "poweroff""#, Halts(0, Halt::Panicked)),
    ("GUEST_PANICKED", r#""action": "run""#, Halts(0, Halt::Panicked)),
    ("GUEST_PANICKED", "", Halts(0, Halt::Panicked)),
    ("GUEST_CRASHLOADED", r#""action": "run""#, Halts(300, Halt::CrashKernel)),
    ("WATCHDOG", r#""action": "pause""#, Halts(0, Halt::Watchdog)),
    ("WATCHDOG", r#""action": "reset""#, Halts(60, Halt::Watchdog)),
    ("WATCHDOG", r#""action": "shutdown""#, Halts(60, Halt::Watchdog)),
    ("WATCHDOG", r#""action": "poweroff""#, Halts(60, Halt::Watchdog)),
    ("WATCHDOG", r#""action": "inject-nmi""#, Halts(60, Halt::Watchdog)),
    ("WATCHDOG", r#""action": "debug""#, Nothing),
    ("WATCHDOG", r#""action": "none""#, Nothing),
    ("WATCHDOG", r#""action": "unknown""#, Nothing),
    ("RESET", r#""guest": true, "reason": "guest-reset""#, HaltsLater(Halt::Reset)),
    ("RESET", r#""guest": true, "reason": "unknown""#, HaltsLater(Halt::Reset)),
    ("RESET", r#""reason": "host-qmp-system-reset""#, HaltsLater(Halt::ResetByHost)),
    ("RESET", r#""reason": "snapshot-load""#, HaltsLater(Halt::ResetByHost)),
    ("RESET", r#""reason": "subsystem-reset""#, Nothing),
    ("BLOCK_IO_ERROR", r#""action": "stop", "nospace": true"#, FillsDisk),
    ("BLOCK_IO_ERROR", r#""action": "report", "nospace": true"#, FillsDisk),
    ("BLOCK_IO_ERROR", r#""action": "stop""#, FillsDisk),
    ("BLOCK_IO_ERROR", r#""action": "stop", "nospace": false"#, Fails(HostFailure::Disk)),
    ("BLOCK_IO_ERROR", r#""action": "report", "nospace": false"#, Fails(HostFailure::Disk)),
    ("BLOCK_IO_ERROR", r#""action": "report""#, Fails(HostFailure::Disk)),
    ("BLOCK_IO_ERROR", r#""action": "ignore""#, Fails(HostFailure::Disk)),
    ("MEMORY_FAILURE", r#""action": "inject""#, Fails(HostFailure::Memory)),
    ("MEMORY_FAILURE", r#""action": "fatal""#, Fails(HostFailure::Memory)),
    ("MEMORY_FAILURE", r#""action": "reset""#, Fails(HostFailure::Memory)),
    ("MEMORY_FAILURE", r#""action": "ignore""#, Nothing),
    ("SHUTDOWN", r#""reason": "guest-shutdown""#, HaltsUnasked(60, Halt::NoExit)),
    ("SHUTDOWN", r#""reason": "guest-reset""#, HaltsUnasked(60, Halt::NoExit)),
    ("SHUTDOWN", r#""reason": "guest-panic""#, HaltsUnasked(60, Halt::NoExit)),
    ("SHUTDOWN", r#""reason": "host-signal""#, HaltsUnasked(60, Halt::NoExit)),
    ("RTC_CHANGE", r#""offset": 78"#, Nothing),
    ("AN_EVENT_OF_LATER", "", Nothing),
];

/// W56: the whole table, in each state that precedes the exit. An event without effect leaves the
/// deadline as it is.
#[test]
fn every_event_has_its_effect_in_every_state() {
    let file = "bootstrap.manifest";
    let startup: &[(u64, Input<'_>)] = &[];
    let working = &[(6, FirstRequest)];
    let powering_down = &[(6, FirstRequest), (7, stored(file))];
    for (name, data, effect) in TABLE {
        let event = event(&format!(r#"{{"event": "{name}", "data": {{{data}}}}}"#));
        for (job, begin, state) in [
            (Job::Build, startup, 0),
            (Job::Bootstrap, startup, 0),
            (Job::Build, working, 1),
            (Job::Bootstrap, working, 1),
            (Job::Bootstrap, powering_down, 2),
        ] {
            let report = (8, Input::Event(&event));
            let after = |more: &[(u64, Input<'_>)], expected: &Action| {
                check(job, &[begin, &[report], more].concat(), expected);
            };
            let halts = |seconds: u64, halt| {
                let action = Action::End(End::Halted { halt, has_asked: state > 0 });
                let at = (8 + seconds, Deadline);
                let at = if seconds == 0 { &[][..] } else { &[at] };
                if seconds > 0 {
                    after(&[(7 + seconds, Deadline)], &Action::Wait);
                }
                if state == 2 {
                    after(at, &action);
                } else {
                    after(at, &Action::Drain);
                    after(&[at, &[(9 + seconds, Drained)]].concat(), &action);
                }
            };
            let goes_on = || {
                let limit = [LIMITS.startup, LIMITS.work, LIMITS.shutdown][state].as_secs();
                after(&[(limit - 1, Deadline)], &Action::Wait);
            };
            match (*effect, state) {
                // Of 300 seconds the state's own limit comes first.
                (Nothing, _)
                | (HaltsLater(_), 0)
                | (HaltsUnasked(..), 2)
                | (Halts(300, _), 0 | 2) => goes_on(),
                (Halts(seconds, halt) | HaltsUnasked(seconds, halt), _) => halts(seconds, halt),
                (HaltsLater(halt), _) => halts(0, halt),
                (FillsDisk, _) => after(&[], &Action::End(End::DiskFull)),
                (Fails(failure), _) => after(&[], &Action::End(End::HostFailed(failure))),
            }
        }
    }
}

/// W56: a guest that runs again goes on, and so does one whose processors are stopped for less than
/// the limit; a complete result counts whatever the guest does.
#[test]
fn a_guest_that_goes_on_is_left_alone() {
    let (stop, cont) = (event(r#"{"event": "STOP"}"#), event(r#"{"event": "RESUME"}"#));
    let panic = event(r#"{"event": "GUEST_PANICKED", "data": {"action": "pause"}}"#);
    let [stop, cont, panic] = [&stop, &cont, &panic].map(Input::Event);
    let again = [(6, FirstRequest), (7, stop), (16, cont), (100, Deadline)];
    check(Job::Build, &again, &Action::Wait);
    let twice = [&again[..], &[(200, stop), (209, stop), (210, Deadline)]].concat();
    check(Job::Build, &twice, &Action::Drain);
    let result = [(6, FirstRequest), (7, panic), (8, stored(RESULT))];
    check(Job::Build, &result, &complete(RESULT));
    let late = [(6, FirstRequest), (7, panic), (8, EXIT), (9, stop), (10, Drained)];
    check(Job::Build, &late, &Action::End(End::Halted { halt: Halt::Panicked, has_asked: true }));
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    const FILES: [&str; 4] = [RESULT, "bootstrap.manifest", "upload.tar", "result.manifest"];

    const EVENTS: [&str; 4] = ["guest-shutdown", "guest-shutdown", "guest-reset", "host-signal"];

    /// An input, or the reason of a `SHUTDOWN` event.
    fn input() -> impl Strategy<Value = Result<Input<'static>, &'static str>> {
        let event = (0..EVENTS.len()).prop_map(|event| Err(EVENTS[event]));
        prop_oneof![1 => event, 8 => plain_input().prop_map(Ok)]
    }

    fn plain_input() -> impl Strategy<Value = Input<'static>> {
        prop_oneof![
            Just(FirstRequest),
            (0..FILES.len(), 0..3_u64)
                .prop_map(|(file, bytes)| Input::Stored { file: FILES[file], bytes }),
            prop_oneof![Just(EXIT), Just(FAILED), Just(KILLED)],
            Just(Drained),
            Just(Deadline),
            Just(Input::DiskFull),
            Just(Input::NetworkLost),
            Just(Interrupt),
            Just(Terminate),
        ]
    }

    proptest! {
        /// Whatever comes in whatever order: W14, W28, W29, W30, W40 and W54 hold.
        #[test]
        fn hold_for_every_history(
            history in prop::collection::vec((input(), 0..400_u64), 0..40),
            bootstrap: bool,
        ) {
            let job = if bootstrap { Job::Bootstrap } else { Job::Build };
            let mut now = Instant::now();
            let mut run = Run::new(job, LIMITS, now);
            let (mut ended, mut exited, mut complete) = (false, false, false);
            let (mut reasons, mut is_clean) = (Vec::new(), false);
            let mut powered_down = 0;
            for (item, seconds) in history {
                let event = item.err().map(shutdown);
                let input = item.unwrap_or_else(|_| Input::Event(event.as_ref().unwrap()));
                if let (Err(reason), false) = (item, exited) {
                    reasons.push(reason);
                }
                if let (Input::Exited { code, .. }, false) = (input, exited) {
                    let is_off = |reason: &&str| *reason == "guest-shutdown";
                    is_clean = code == Some(0) && !reasons.is_empty() && reasons.iter().all(is_off);
                }
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
                        prop_assert!(job == Job::Build || is_clean, "the disk may be dirty");
                    }
                    Action::End(End::Interrupted) => prop_assert_eq!(job, Job::Build),
                    Action::End(End::Exited { .. }) => {
                        prop_assert!(exited && (!complete || job == Job::Bootstrap && !is_clean));
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
