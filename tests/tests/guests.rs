//! The agent handles every failure of a guest: the real agent and everything around it, and
//! simulated guests that fail in every way. Guests are not held here; see `hold.rs`.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bbot_manifest::ResultStatus;
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Package, Verdict};
use bbot_tests::harness::farm::{MachineSpec, Namespaces, layout};
use bbot_tests::harness::hypervisor::{SUCCESSFUL, bootstrapping, building};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use bbot_tests::harness::watch::wait_for_file;
use rustix::process::Signal;

/// The step by which the hypervisor reports that it is about to exit, for this reason.
fn shutdown(reason: &str) -> String {
    let is_guest = reason.starts_with("guest-");
    format!(r#"event SHUTDOWN {{"guest":{is_guest},"reason":"{reason}"}}"#)
}

/// Has an agent that does not hold guests perform a task on a guest that performs these steps;
/// checks the posted status, that nothing is left, and whether a failure was reported.
#[track_caller]
fn check_build(steps: &[&str], options: &[&str], status: ResultStatus, has_report: bool) -> Agent {
    let testbed = Testbed::new(&building(steps), &["libfoo"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let options = [&["--hold-timeout", "none"], options].concat();
    let mut agent = testbed.start(&options).unwrap();
    let (verdict, result) = testbed.result(1).unwrap();
    agent.end().unwrap();
    assert_eq!(result.result.status, status, "{:#?}", agent.lines());
    assert_eq!(result.result.name.to_string(), "libfoo");
    assert_eq!(result.result.version.to_string(), "1.0.0");
    let is_put_back = status == ResultStatus::Interrupt;
    let expected = if is_put_back { Verdict::PutBack } else { Verdict::Stored(status) };
    assert_eq!(verdict, expected);
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    assert_eq!(!testbed.failures("log").unwrap().is_empty(), has_report, "{:#?}", agent.lines());
    agent
}

/// W26, W34: a guest that does not boot is booted again, always from a fresh snapshot: a spoiled
/// disk would end it at once. Then the task is answered with `abort`.
#[test]
fn a_guest_that_never_boots_is_an_abort() {
    let options = ["--build-startup", "1", "--build-retries", "1"];
    let agent = check_build(&["spoil"], &options, ResultStatus::Abort, true);
    assert_eq!(agent.count_phases("qemu"), 1 + 2, "{:#?}", agent.lines());
    assert!(agent.count("exited unexpectedly") == 0, "{:#?}", agent.lines());
}

/// W26, W34: the boot after a mis-boot succeeds, and so does the task; a console log is kept.
#[test]
fn a_task_succeeds_after_a_mis_boot() {
    let script = building(&["await /run/go", "get task.manifest", "put-result success"]);
    let testbed = Testbed::new(&script, &["libfoo"]).unwrap();
    let options = ["--build-startup", "3", "--hold-timeout", "none"];
    let mut agent = testbed.start(&options).unwrap();
    agent.wait_for_line("retrying").unwrap();
    std::fs::write(testbed.farm.run().join("go"), "").unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    assert!(!testbed.failures("log").unwrap().is_empty());
}

/// W10, W13, W16: a machine that does not boot in a bootstrap is booted from a fresh snapshot
/// `--bootstrap-retries` times more; then it rests with nothing left of it, and others are used.
#[test]
fn a_machine_that_never_boots_rests() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.farm.add_machine(&MachineSpec::small("a-dead-one", bootstrapping(&["spoil"]))).unwrap();
    let before = testbed.farm.inventory().unwrap();
    // The other machine must boot in that time, too.
    let options = ["--bootstrap-startup", "4", "--bootstrap-retries", "1"];
    let options = [&options[..], &["--hold-timeout", "none"]].concat();
    let mut agent = testbed.start(&options).unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    let boots = agent.phases();
    let boots = boots.iter().filter(|p| p.name == "qemu" && p.key("machine") == "a-dead-one");
    assert_eq!(boots.count(), 2, "{:#?}", agent.lines());
    let timeout = "error: cannot bootstrap a-dead-one: bootstrap startup timeout; it rests ";
    assert!(agent.count(timeout) > 0, "{:#?}", agent.lines());
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    assert_eq!(testbed.failures("log").unwrap().len(), 2, "one console log for each boot");
}

/// W14, W16: a bootstrap whose guest ignores the power button has failed, though it is complete.
#[test]
fn a_guest_that_ignores_the_power_button_is_not_bootstrapped() {
    let script = bootstrapping(&["ignore-power", "put-bootstrap 0.16.0", "install"]);
    let testbed = Testbed::new(&script, &[]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let options = ["--shutdown-timeout", "1", "--hold-timeout", "none"];
    let mut agent = testbed.start(&options).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 2).unwrap();
    agent.end().unwrap();
    assert_eq!(agent.count_phases("publish"), 0);
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    assert!(agent.count("bootstrap shutdown timeout") > 0, "{:#?}", agent.lines());
}

/// W54: the disk of a bootstrap is published only if the guest turned itself off and the hypervisor
/// wrote everything to the disk; everything else leaves nothing (W16), and the machine rests.
#[test]
fn a_disk_that_may_be_dirty_is_not_published() {
    let ends: &[(&[&str], &str)] = &[
        (&["kill SIGKILL"], "ended from outside"),
        (&["kill SIGTERM"], "ended from outside"),
        (&["kill SIGSEGV"], "hypervisor failed"),
        (&["kill SIGABRT"], "hypervisor failed"),
        (&["exit 0"], "unknown reason"),
        (&["exit 1"], "hypervisor failed"),
        (&[&shutdown("guest-shutdown"), "kill SIGKILL"], "ended from outside"),
        (&[&shutdown("guest-shutdown"), "kill SIGSEGV"], "hypervisor failed"),
        (&[&shutdown("guest-shutdown"), "exit 1"], "hypervisor failed"),
        (&[&shutdown("host-signal"), "exit 0"], "ended from outside"),
        (&[&shutdown("host-qmp-quit"), "exit 0"], "ended from outside"),
        (&[&shutdown("guest-reset"), "exit 0"], "reset itself"),
        (&[&shutdown("guest-panic"), "exit 0"], "panicked"),
    ];
    for (end, cause) in ends {
        let steps = [&["put-bootstrap 0.16.0", "install", "await-power"], *end].concat();
        let testbed = Testbed::new(&bootstrapping(&steps), &[]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let mut agent = testbed.start(&["--hold-timeout", "none"]).unwrap();
        agent.wait_for_line("it rests").unwrap();
        agent.end().unwrap();
        assert_eq!(agent.count_phases("publish"), 0, "{end:?}: {:#?}", agent.lines());
        assert_eq!(agent.count(cause), 1 + 1, "{end:?}: {:#?}", agent.lines());
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0], "{end:?}");
    }
}

/// W54: a guest that turns itself off is bootstrapped, before it is asked to as well.
#[test]
fn a_guest_that_turns_itself_off_is_bootstrapped() {
    let off = r#"event SHUTDOWN {"guest":true,"reason":"guest-shutdown"}"#;
    for steps in [&["await-power", off, "exit 0"][..], &[off, "exit 0"]] {
        let steps = [&["put-bootstrap 0.16.0", "install"], steps].concat();
        let testbed = Testbed::new(&bootstrapping(&steps), &[]).unwrap();
        let mut agent = testbed.start(&[]).unwrap();
        agent.wait_for_phase(LIMIT, "publish", 1).unwrap();
        agent.end().unwrap();
    }
}

/// W26, W55: a guest that exits before its first request has mis-booted, however it exits: it is
/// booted again, and then the task is answered with `abort`; if the host ended it, with
/// `interrupt`, at once.
#[test]
fn a_guest_that_exits_at_once_has_mis_booted() {
    let reset = shutdown("guest-reset");
    let off = shutdown("guest-shutdown");
    let options = ["--build-retries", "2"];
    for steps in [
        &["exit 1"][..],
        &["exit 0"],
        &["kill SIGSEGV"],
        &[&reset, "exit 0"],
        &[&off, "exit 0"],
        &[r#"event GUEST_PANICKED {"action":"poweroff"}"#, &shutdown("guest-panic"), "exit 0"],
    ] {
        let agent = check_build(steps, &options, ResultStatus::Abort, true);
        assert_eq!(agent.count_phases("qemu"), 1 + 3, "{steps:?}: {:#?}", agent.lines());
    }
    for steps in [&["kill SIGKILL"][..], &[&shutdown("host-signal"), "exit 0"]] {
        let agent = check_build(steps, &options, ResultStatus::Interrupt, false);
        assert_eq!(agent.count_phases("qemu"), 1 + 1, "{steps:?}: {:#?}", agent.lines());
    }
}

/// W13, W26, W55: a guest that resets itself in its first boots, in a bootstrap or in a build, is
/// booted until it makes a request.
#[test]
fn a_guest_that_resets_at_first_is_booted_again() {
    let reset = shutdown("guest-reset");
    let reset = [&format!("unless /run/go {reset}")[..], "unless /run/go exit 0"];
    let first = [&reset[..], &["put-bootstrap 0.16.0", "install"]].concat();
    let later = [&reset[..], &["get task.manifest", "put-result success"]].concat();
    let first = bootstrapping(&first);
    let script = later.iter().fold(first, |script, step| script + "later: " + step + "\n");
    let testbed = Testbed::new(&script, &["libfoo"]).unwrap();
    let go = testbed.farm.run().join("go");
    let options = ["--bootstrap-retries", "1000", "--build-retries", "1000"];
    let mut agent = testbed.start(&options).unwrap();
    agent.wait_for_line("retrying").unwrap();
    std::fs::write(&go, "").unwrap();
    agent.wait_for_phase(LIMIT, "publish", 1).unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Success));
    testbed.wait_until_idle().unwrap();
    std::fs::remove_file(&go).unwrap();
    let retries = agent.count("retrying");
    testbed.controller.add(Package::new("libbar", "1.0.0", MACHINE));
    agent.end().unwrap();
    let mut agent = testbed.start(&options).unwrap();
    agent.wait_for_line("retrying").unwrap();
    std::fs::write(&go, "").unwrap();
    assert_eq!(testbed.result(2).unwrap().0, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    assert!(retries > 0);
}

/// W56: a guest that stands still by itself is known at once, and not at the limit of its build;
/// what the host did costs the task nothing.
#[test]
fn a_guest_that_stands_still_is_known_at_once() {
    use ResultStatus::{Abort, Interrupt, Success};
    let table: &[(&[&str], ResultStatus, bool)] = &[
        (&["event SUSPEND"], Abort, true),
        (&[r#"event GUEST_PANICKED {"action":"pause"}"#, "event STOP"], Abort, true),
        (&[r#"event WATCHDOG {"action":"pause"}"#, "event STOP"], Abort, true),
        (&["event STOP"], Abort, true),
        (&["event STOP", "event RESUME", "put-result success"], Success, false),
        (&[r#"event RESET {"guest":true,"reason":"guest-reset"}"#], Abort, true),
        (&[r#"event BLOCK_IO_ERROR {"action":"report","nospace":true}"#], Interrupt, false),
        (&[r#"event BLOCK_IO_ERROR {"action":"report","nospace":false}"#], Interrupt, false),
        (&[r#"event MEMORY_FAILURE {"recipient":"guest","action":"inject"}"#], Interrupt, false),
    ];
    for (events, status, has_report) in table {
        let steps = [&["get task.manifest"], *events].concat();
        check_build(&steps, &[], *status, *has_report);
    }
}

/// W55: the answer to a task whose hypervisor ends depends on who ended it: what a guest can cause
/// is an `abort`, with a report if something failed.
#[test]
fn the_end_of_a_hypervisor_has_an_author() {
    use ResultStatus::{Abort, Interrupt};
    let [off, reset, panic] = ["guest-shutdown", "guest-reset", "guest-panic"].map(shutdown);
    let [signal, quit] = ["host-signal", "host-qmp-quit"].map(shutdown);
    let ends: &[(&[&str], ResultStatus, bool)] = &[
        (&["kill SIGKILL"], Interrupt, false),
        (&["kill SIGTERM"], Interrupt, false),
        (&[&signal, "exit 0"], Interrupt, false),
        (&[&quit, "exit 0"], Interrupt, false),
        (&["kill SIGSEGV"], Abort, true),
        (&["kill SIGABRT"], Abort, true),
        (&["kill SIGSYS"], Abort, true),
        (&["kill SIGBUS"], Abort, true),
        (&["exit 1"], Abort, true),
        (&[&panic, "exit 0"], Abort, true),
        (&[&off, "exit 0"], Abort, false),
        (&[&reset, "exit 0"], Abort, false),
        (&["exit 0"], Abort, false),
    ];
    for (end, status, has_report) in ends {
        let steps = [&["get task.manifest"], *end].concat();
        check_build(&steps, &[], *status, *has_report);
    }
}

/// W28, W29: an incomplete upload does not count.
#[test]
fn a_guest_that_exits_during_its_upload_is_an_abort() {
    let steps = ["get task.manifest", "put-half result.manifest.lz4 30000", "exit 0"];
    check_build(&steps, &[], ResultStatus::Abort, false);
}

/// W29: after a complete result the exit does not matter.
#[test]
fn a_guest_may_exit_after_its_result() {
    let steps = ["get task.manifest", "put-result warning", "exit 7"];
    check_build(&steps, &[], ResultStatus::Warning, false);
}

/// W28: an incomplete upload does not count; the complete one after it does.
#[test]
fn an_upload_begins_again() {
    let steps = ["get task.manifest", "put-half result.manifest.lz4 30000", "put-result success"];
    check_build(&steps, &[], ResultStatus::Success, false);
}

/// W28: a second upload of the same name replaces the first.
#[test]
fn an_upload_is_replaced() {
    let steps = ["get task.manifest", "put upload.tar 5000", "put upload.tar 3000"];
    let script = building(&[&steps[..], &["put done 1", "await /run/go", "exit 0"]].concat());
    let testbed = Testbed::new(&script, &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    let put = testbed.farm.tftp().join("build/default-1/put");
    wait_for_file(&put.join("done"), LIMIT).unwrap();
    assert_eq!(std::fs::metadata(put.join("upload.tar")).unwrap().len(), 3000);
    std::fs::write(testbed.farm.run().join("go"), "").unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
    agent.end().unwrap();
}

/// W8, W15: a worker that is older than expected just after its bootstrap is warned about, once,
/// and used; the next agent that expects the same version does not bootstrap it again, one that
/// expects another does. A newer one is not used.
#[test]
fn an_old_worker_is_used_and_a_new_one_is_not() {
    let script = SUCCESSFUL.replace("put-bootstrap 0.16.0", "put-bootstrap 0.15.0");
    let testbed = Testbed::new(&script, &["libfoo"]).unwrap();
    let run = |options: &[&str], phase: &str| {
        let mut agent = testbed.start(options).unwrap();
        agent.wait_for_phase(LIMIT, phase, 1).unwrap();
        agent.end().unwrap();
        let count = |text: &str| agent.count(text);
        (agent.count_phases("publish"), count("is older"), count("is newer"))
    };
    assert_eq!(run(&[], "posted"), (1, 1, 0));
    testbed.controller.add(Package::new("libbar", "1.0.0", MACHINE));
    assert_eq!(run(&[], "posted"), (0, 0, 0));
    assert_eq!(run(&["--worker-ver", "0.15.1"], "publish"), (1, 1, 0));
    testbed.controller.add(Package::new("libbaz", "1.0.0", MACHINE));
    let requests = testbed.controller.task_requests();
    let mut agent = testbed.start(&["--worker-ver", "0.14.0"]).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 1).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    assert_eq!((agent.count_phases("publish"), testbed.controller.task_requests()), (0, requests));
}

/// W27: a guest that sends nothing more after its first request is killed after `--build-timeout`.
#[test]
fn a_silent_guest_times_out() {
    let options = ["--build-timeout", "1"];
    check_build(&["get task.manifest"], &options, ResultStatus::Abort, true);
}

/// W32: an unusable result is `abnormal`: what is not an LZ4 frame, a truncated one, another
/// package's result, and one that is larger than a controller accepts.
#[test]
fn an_unreadable_result_is_abnormal() {
    for step in [
        "put result.manifest.lz4 1000",
        "put-cut-result success",
        "put-result-of libbar 1.0.0 success",
        "put-result-of libfoo 1.0.1 success",
        // More than 10 MiB only as a request; and as a result, too.
        "put-large-result 10485600",
        "put-large-result 10485760",
    ] {
        check_build(&["get task.manifest", step], &[], ResultStatus::Abnormal, true);
    }
}

/// W27, W32: a worker that could not read its task names an unknown package; the task's name and
/// version replace it, whatever the status is.
#[test]
fn a_result_for_an_unknown_package_is_the_tasks() {
    let steps = |status: &str| format!("put-result-of unknown 0 {status}");
    for (status, expected, is_reported) in [
        ("abnormal", ResultStatus::Abnormal, true),
        ("error", ResultStatus::Error, false),
        ("success", ResultStatus::Success, false),
    ] {
        let step = steps(status);
        check_build(&["get task.manifest", &step], &[], expected, is_reported);
    }
}

/// Useless requests do not keep the guest from its task; very many of them harm only the guest.
#[test]
fn a_flood_of_requests_is_survived() {
    let steps = ["flood 600", "get task.manifest", "put-result success"];
    check_build(&steps, &[], ResultStatus::Success, false);
    check_build(&["flood 20000", "exit 0"], &[], ResultStatus::Abort, false);
}

/// W30, W39: SIGUSR1 ends the guest at any time, also during its upload: the task is interrupted,
/// and the machine released.
#[test]
fn an_interrupt_takes_effect_at_any_time() {
    for steps in [
        &["await /run/never"][..],
        &["get task.manifest"],
        &["get task.manifest", "put-half result.manifest.lz4 30000", "await /run/never"],
    ] {
        let testbed = Testbed::new(&building(steps), &["libfoo"]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let mut agent = testbed.start(&[]).unwrap();
        agent.wait_for_phase(LIMIT, "qemu", 2).unwrap();
        if steps.len() > 1 {
            agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
        }
        agent.process().signal(Signal::USR1).unwrap();
        let (verdict, result) = testbed.result(1).unwrap();
        assert_eq!((verdict, result.result.status), (Verdict::PutBack, ResultStatus::Interrupt));
        agent.end().unwrap();
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W30: neither a bootstrap is interrupted, nor an agent without a task, nor the task after them
/// (W25).
#[test]
fn an_interrupt_without_a_task_has_no_effect() {
    let script = SUCCESSFUL
        .replace("first: get", "first: get toolchain.sha256\nfirst: await /run/go\nfirst: get");
    let testbed = Testbed::new(&script, &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
    agent.process().signal(Signal::USR1).unwrap();
    std::fs::write(testbed.farm.run().join("go"), "").unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Success));
    testbed.wait_until_idle().unwrap();
    agent.process().signal(Signal::USR1).unwrap();
    agent.end().unwrap();
    assert_eq!(agent.count_phases("publish"), 1);
}

/// W31: the screen of an interactive task is accessible on the network, and the task ends with
/// `abort` after `--interactive-timeout`; its guest is not held, though others are.
#[test]
fn an_interactive_task_ends_without_a_hold() {
    let script = building(&["get task.manifest"]);
    let testbed = Testbed::new(&script, &[]).unwrap();
    let mut package = Package::new("libfoo", "1.0.0", MACHINE);
    package.more.push(("interactive".to_owned(), "build".to_owned()));
    testbed.controller.add(package);
    // The address is the farm's only one that is not the loopback's.
    let options = ["--interactive", "both", "--interactive-timeout", "3", "--build-timeout", "1"];
    let mut agent = testbed.start(&options).unwrap();
    // The time counts from the boot, whose phase ends before.
    let start = agent.wait_for_phase(LIMIT, "qemu", 2).unwrap().at;
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    let screen = format!("{}:5901", layout::BRIDGE_ADDRESS);
    let inventory = testbed.farm.inventory().unwrap();
    assert!(inventory.of_kind("port").iter().any(|p| p.contains(&screen)), "{inventory}");
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
    let answered = agent.wait_for_phase(LIMIT, "durable", 1).unwrap().at;
    assert!(Duration::from_nanos(answered - start) > Duration::from_secs(2), "another timeout");
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    assert!(testbed.failures("log").unwrap().is_empty());
}

/// W31: the screen of a task that is not interactive is accessible on this host only.
#[test]
fn other_screens_are_accessible_on_the_host_only() {
    let testbed = Testbed::new(&building(&["get task.manifest"]), &["libfoo"]).unwrap();
    let address = layout::BRIDGE_ADDRESS.to_string();
    let options = ["--interactive", "both", "--interactive-address", &address];
    let mut agent = testbed.start(&options).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    let inventory = testbed.farm.inventory().unwrap();
    let is_screen = |port: &&&str| port.contains(":5901 ");
    let ports = inventory.of_kind("port");
    let screens: Vec<_> = ports.iter().filter(is_screen).collect();
    assert!(matches!(screens[..], [one] if one.contains("127.0.0.1:5901")), "{inventory}");
    agent.end().unwrap();
}

/// W26: if the host has no space for the guest's disk or its uploads, the task is interrupted,
/// whatever the guest does; a guest that exceeds its upload limit is not the host's failure.
#[test]
fn a_full_disk_interrupts_the_task() {
    let upload = ["get task.manifest", "put upload.tar 300000"];
    for (steps, limit, expected) in [
        (
            &["get task.manifest", "fill-disk", "put-result success"][..],
            "1000000",
            ResultStatus::Interrupt,
        ),
        (&upload, "1000000", ResultStatus::Interrupt),
        (&upload, "10000", ResultStatus::Abort),
    ] {
        let testbed = Testbed::new(&building(steps), &["libfoo"]).unwrap();
        let mut mount = testbed.farm.namespaces().command("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=200k", "tmpfs"])
            .arg(testbed.farm.tftp().join("build"));
        assert!(testbed.farm.namespaces().output(&mut mount).unwrap().status.success());
        let options = ["--upload-limit", limit, "--hold-timeout", "none"];
        let mut agent = testbed.start(&options).unwrap();
        let (_, result) = testbed.result(1).unwrap();
        assert_eq!(result.result.status, expected, "{:#?}", agent.lines());
        // W68: nothing is full once the guest's files are removed.
        let blocked = "the last attempt failed on this host: no space is left on the host's disk";
        if expected == ResultStatus::Interrupt {
            agent.wait_for_line(blocked).unwrap();
        } else {
            testbed.wait_until_idle().unwrap();
            assert_eq!(agent.count(blocked), 0, "{:#?}", agent.lines());
        }
        agent.end().unwrap();
    }
}

/// Makes a host fail; what it returns is kept until the test ends.
type Failure = fn(&Namespaces, &Path, &Path) -> Box<dyn Send>;

/// W10, W26, W68: a failure of the host that begins when a task is requested is not the task's:
/// `interrupt`; nor is it the machine's. The instance is blocked, so that it does not get the task
/// again at once, and goes on after the mend.
#[test]
fn a_failure_of_the_host_interrupts_the_task() {
    let table: [(&str, Failure); 5] = [
        ("tap1 belongs to", |namespaces, _, _| {
            let arguments = ["tuntap", "add", "tap1", "mode", "tap"];
            Box::new(namespaces.output(namespaces.command("ip").args(arguments)).unwrap())
        }),
        ("the TFTP port", |namespaces, _, _| {
            let bind = || UdpSocket::bind((layout::BRIDGE_ADDRESS, 23401)).unwrap();
            Box::new(namespaces.run(bind).unwrap())
        }),
        ("the VNC port", |namespaces, _, _| {
            let bind = || TcpListener::bind("127.0.0.1:5901").unwrap();
            Box::new(namespaces.run(bind).unwrap())
        }),
        ("is read-only", |namespaces, volume, _| {
            let mut remount = namespaces.command("mount");
            remount.args(["-o", "remount,ro"]).arg(volume);
            Box::new(namespaces.output(&mut remount).unwrap())
        }),
        ("there is no hypervisor", |_, _, program| {
            std::fs::remove_file(program).unwrap();
            Box::new(())
        }),
    ];
    for (name, fail) in table {
        let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
        testbed.stdout(&testbed.idle_agent(&["--dump-machines"])).unwrap();
        testbed.controller.add(Package::new("libfoo", "1.0.0", MACHINE));
        let before = testbed.farm.inventory().unwrap();
        let (namespaces, volume) = (testbed.farm.namespaces().clone(), testbed.farm.volume());
        let program = testbed.farm.run().join("bbot-pretend");
        let failure = Mutex::new(None);
        testbed.controller.inject_faults(move |request| {
            let mut failure = failure.lock().unwrap();
            if request.is_task_request() && failure.is_none() {
                *failure = Some(fail(&namespaces, &volume, &program));
            }
            None
        });
        let mut agent = testbed.start(&[]).unwrap();
        let (verdict, result) = testbed.result(1).unwrap();
        let expected = (Verdict::PutBack, ResultStatus::Interrupt);
        assert_eq!((verdict, result.result.status), expected, "{name}: {:#?}", agent.lines());
        testbed.wait_for_status("blocked").unwrap();
        agent.wait_for_line(name).unwrap();
        assert_eq!(agent.count("it rests"), 0, "{name}: {:#?}", agent.lines());
        assert!(agent.terminate().unwrap().success(), "{name}");
        assert_eq!(testbed.controller.task_requests(), 1, "{name}: {:#?}", agent.lines());
        let mut left = testbed.leftovers(&before).unwrap();
        left.retain(|item| item.starts_with("subvolume"));
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}
