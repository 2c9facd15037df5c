//! Each event from JSON as QEMU sends it, as a newer QEMU might, and as none should.

use super::*;

fn parse(event: &str, data: &str) -> GuestEvent {
    let timestamp = r#""timestamp": {"seconds": 1267040730, "microseconds": 682951}"#;
    let data = if data.is_empty() { String::new() } else { format!(r#", "data": {data}"#) };
    GuestEvent::from_qmp(&format!(r#"{{{timestamp}, "event": "{event}"{data}}}"#)).unwrap()
}

#[track_caller]
fn check(cases: impl IntoIterator<Item = (&'static str, &'static str, GuestEvent)>) {
    for (event, data, expected) in cases {
        assert_eq!(parse(event, data), expected, "{event} {data}");
    }
}

#[test]
fn life_of_a_guest_as_qemu_reports_it() {
    check([
        (
            "SHUTDOWN",
            r#"{"guest": true, "reason": "guest-shutdown"}"#,
            GuestEvent::Shutdown { guest: true, reason: ShutdownCause::GuestShutdown },
        ),
        (
            "SHUTDOWN",
            r#"{"guest": false, "reason": "host-qmp-quit"}"#,
            GuestEvent::Shutdown { guest: false, reason: ShutdownCause::HostQuit },
        ),
        (
            "RESET",
            r#"{"guest": false, "reason": "host-qmp-system-reset"}"#,
            GuestEvent::Reset { guest: false, reason: ShutdownCause::HostReset },
        ),
        ("STOP", "", GuestEvent::Stopped),
        ("RESUME", "", GuestEvent::Resumed),
        ("SUSPEND", "", GuestEvent::Suspended),
        ("SUSPEND_DISK", "", GuestEvent::SuspendedToDisk),
        ("WAKEUP", "", GuestEvent::WokenUp),
        ("POWERDOWN", "", GuestEvent::PoweredDown),
        (
            "RTC_CHANGE",
            r#"{"offset": 78, "qom-path": "/machine/rtc"}"#,
            GuestEvent::Other {
                name: "RTC_CHANGE".into(),
                data: Some(r#"{"offset":78,"qom-path":"/machine/rtc"}"#.into()),
            },
        ),
        ("NEWER_THAN_US", "", GuestEvent::Other { name: "NEWER_THAN_US".into(), data: None }),
    ]);
}

#[test]
fn failures_as_qemu_reports_them() {
    check([
        (
            "GUEST_PANICKED",
            r#"{"action": "pause"}"#,
            GuestEvent::Panicked { action: PanicAction::Pause, info: None },
        ),
        (
            "GUEST_PANICKED",
            r#"{"action": "pause", "info": {"type": "hyper-v",
                "arg1": 0, "arg2": 18446744073709551615, "arg3": 3, "arg4": 4, "arg5": 5}}"#,
            GuestEvent::Panicked {
                action: PanicAction::Pause,
                info: Some(PanicInfo::HyperV([0, u64::MAX, 3, 4, 5])),
            },
        ),
        (
            "GUEST_CRASHLOADED",
            r#"{"action": "run"}"#,
            GuestEvent::CrashLoaded { action: PanicAction::Run, info: None },
        ),
        (
            "WATCHDOG",
            r#"{"action": "reset"}"#,
            GuestEvent::Watchdog { action: WatchdogAction::Reset },
        ),
        (
            "BLOCK_IO_ERROR",
            r##"{"device": "disk0", "node-name": "#block131", "operation": "write",
                "action": "stop", "nospace": true, "reason": "No space left on device"}"##,
            GuestEvent::BlockIoError {
                device: "disk0".into(),
                node_name: "#block131".into(),
                operation: BlockOperation::Write,
                action: BlockErrorAction::Stop,
                no_space: Some(true),
                reason: "No space left on device".into(),
            },
        ),
        (
            "MEMORY_FAILURE",
            r#"{"recipient": "hypervisor", "action": "fatal",
                "flags": {"action-required": true, "recursive": false}}"#,
            GuestEvent::MemoryFailure {
                recipient: MemoryFailureRecipient::Hypervisor,
                action: MemoryFailureAction::Fatal,
                action_required: true,
                recursive: false,
            },
        ),
    ]);
}

#[test]
fn what_a_newer_qemu_adds_is_kept_by_its_name_or_ignored() {
    let newer = || "newer".to_owned();
    check([
        (
            "SHUTDOWN",
            r#"{"guest": true, "reason": "newer", "also": [1]}"#,
            GuestEvent::Shutdown { guest: true, reason: ShutdownCause::Other(newer()) },
        ),
        ("STOP", r#"{"reason": "newer"}"#, GuestEvent::Stopped),
        (
            "GUEST_PANICKED",
            r#"{"action": "newer", "info": {"type": "newer", "arg1": 1}}"#,
            GuestEvent::Panicked {
                action: PanicAction::Other(newer()),
                info: Some(PanicInfo::Other(r#"{"arg1":1,"type":"newer"}"#.into())),
            },
        ),
        (
            "WATCHDOG",
            r#"{"action": "newer"}"#,
            GuestEvent::Watchdog { action: WatchdogAction::Other(newer()) },
        ),
        (
            "BLOCK_IO_ERROR",
            r#"{"device": "", "operation": "newer", "action": "newer", "reason": ""}"#,
            GuestEvent::BlockIoError {
                device: String::new(),
                node_name: String::new(),
                operation: BlockOperation::Other(newer()),
                action: BlockErrorAction::Other(newer()),
                no_space: None,
                reason: String::new(),
            },
        ),
        (
            "MEMORY_FAILURE",
            r#"{"recipient": "newer", "action": "newer", "flags": {"newer": true}}"#,
            GuestEvent::MemoryFailure {
                recipient: MemoryFailureRecipient::Other(newer()),
                action: MemoryFailureAction::Other(newer()),
                action_required: false,
                recursive: false,
            },
        ),
    ]);
}

/// All fields missing, or of another type than QEMU's schema says.
#[test]
fn what_is_missing_or_of_another_type_is_empty() {
    let wrong = r#"{"guest": 1, "reason": ["x"], "action": {}, "device": null, "operation": 7,
        "node-name": false, "nospace": "yes", "recipient": 1.5, "flags": [true], "info": "text"}"#;
    let nothing = String::new;
    for data in ["", "{}", "[]", "null", "7", wrong] {
        for (event, expected) in [
            (
                "SHUTDOWN",
                GuestEvent::Shutdown { guest: false, reason: ShutdownCause::Other(nothing()) },
            ),
            ("RESET", GuestEvent::Reset { guest: false, reason: ShutdownCause::Other(nothing()) }),
            ("STOP", GuestEvent::Stopped),
            (
                "GUEST_PANICKED",
                GuestEvent::Panicked { action: PanicAction::Other(nothing()), info: None },
            ),
            (
                "GUEST_CRASHLOADED",
                GuestEvent::CrashLoaded { action: PanicAction::Other(nothing()), info: None },
            ),
            ("WATCHDOG", GuestEvent::Watchdog { action: WatchdogAction::Other(nothing()) }),
            (
                "BLOCK_IO_ERROR",
                GuestEvent::BlockIoError {
                    device: nothing(),
                    node_name: nothing(),
                    operation: BlockOperation::Other(nothing()),
                    action: BlockErrorAction::Other(nothing()),
                    no_space: None,
                    reason: nothing(),
                },
            ),
            (
                "MEMORY_FAILURE",
                GuestEvent::MemoryFailure {
                    recipient: MemoryFailureRecipient::Other(nothing()),
                    action: MemoryFailureAction::Other(nothing()),
                    action_required: false,
                    recursive: false,
                },
            ),
        ] {
            assert_eq!(parse(event, data), expected, "{event} {data}");
        }
    }
}

#[test]
fn panic_information_needs_all_its_arguments() {
    let info = r#"{"type":"hyper-v","arg1":1,"arg2":2,"arg3":-3,"arg4":4,"arg5":5}"#;
    let data = format!(r#"{{"action": "pause", "info": {info}}}"#);
    let GuestEvent::Panicked { info: Some(PanicInfo::Other(text)), .. } =
        parse("GUEST_PANICKED", &data)
    else {
        panic!("{data}");
    };
    assert!(text.contains(r#""arg3":-3"#), "{text}");
}

/// A QEMU under the control of its guest cannot fill the caller's memory with one event.
#[test]
fn texts_are_cut_at_whole_characters() {
    let long = "\u{e4}".repeat(100_000);
    let data = format!(r#"{{"device": "x{long}", "reason": "{long}", "action": "{long}"}}"#);
    let GuestEvent::BlockIoError { device, reason, action, .. } = parse("BLOCK_IO_ERROR", &data)
    else {
        panic!("another event");
    };
    assert_eq!((device.len(), reason.len(), action.as_str().len()), (255, 256, 256));

    let GuestEvent::Other { name, data } = parse(&long, r#"{"a": 1}"#) else {
        panic!("another event");
    };
    assert_eq!((name.len(), data.as_deref()), (256, Some(r#"{"a":1}"#)));

    for (length, is_whole) in [(DATA_MAX - 2, true), (DATA_MAX - 1, false)] {
        let data = format!(r#""{}""#, "a".repeat(length));
        let event = parse("NEWER_THAN_US", &data);
        let data = is_whole.then_some(data);
        assert_eq!(event, GuestEvent::Other { name: "NEWER_THAN_US".into(), data });
    }

    let info = format!(r#"{{"action": "run", "info": {{"type": "{long}"}}}}"#);
    let GuestEvent::Panicked { info: Some(PanicInfo::Other(text)), .. } =
        parse("GUEST_PANICKED", &info)
    else {
        panic!("another event");
    };
    assert!((TEXT_MAX - 1..=TEXT_MAX).contains(&text.len()), "{}", text.len());
}

#[test]
fn messages_that_are_not_events() {
    for message in ["", "{}", "[]", r#"{"return": {}}"#, r#"{"QMP": {}}"#, r#"{"event": "STOP""#] {
        assert_eq!(GuestEvent::from_qmp(message), None, "{message}");
    }
}

/// The names are those of QEMU's schema, and are written as they are read.
#[test]
fn names_are_read_and_written() {
    fn read_and_write<T: From<String> + ToString>(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| T::from((*name).to_owned()).to_string()).collect()
    }
    let causes = [
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
        "newer",
    ];
    assert_eq!(read_and_write::<ShutdownCause>(&causes), causes);
    for cause in &causes[..causes.len() - 1] {
        let cause = ShutdownCause::from((*cause).to_owned());
        assert!(!matches!(cause, ShutdownCause::Other(_)), "{cause}");
    }
    let actions = ["reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi", ""];
    assert_eq!(read_and_write::<WatchdogAction>(&actions), actions);
}
