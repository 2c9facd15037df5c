//! Guests that are held for an operator (W27): the real agent, everything around it, and an
//! operator who uses the monitor of a simulated guest.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use bbot_manifest::{BootstrappedMachine, Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Exchange, Fault, Verdict};
use bbot_tests::harness::farm::{MachineSpec, layout};
use bbot_tests::harness::hypervisor::{SUCCESSFUL, bootstrapping, building};
use bbot_tests::harness::limits::{LIMIT, LOAD};
use bbot_tests::harness::operator::Operator;
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The time in which a result is posted, far less than a hold.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The steps of a guest that does not finish its build until the file `/run/go` exists.
const SLOW: [&str; 3] = ["get task.manifest", "await /run/go", "put-result success"];

/// Waits until the instance holds a guest; returns its status.
fn wait_for_hold(testbed: &Testbed) -> Value {
    testbed.wait_for_status("holding").unwrap();
    let status = std::fs::read(testbed.runtime_folder().join("status.json")).unwrap();
    serde_json::from_slice(&status).unwrap()
}

/// An operator at the monitor of the held guest.
fn operator(testbed: &Testbed, status: &Value) -> Operator {
    let path = status["holds"][0]["monitor"].as_str().unwrap();
    Operator::connect(&testbed.farm, Path::new(path)).unwrap()
}

/// The content of the lock file of the machine.
fn lock_content(testbed: &Testbed) -> String {
    let path = testbed.lock_file(MACHINE);
    testbed.farm.namespaces().run(|| std::fs::read_to_string(path)).unwrap().unwrap()
}

fn let_guest_continue(testbed: &Testbed) {
    std::fs::write(testbed.farm.run().join("go"), "").unwrap();
}

/// W27, W39: a build that takes too long is answered at once; its guest is paused, and everything
/// an operator needs is kept and reported, the rest is removed. When the operator quits, everything
/// is removed, and the instance gets the next task.
#[test]
fn a_guest_that_timed_out_is_held() {
    let testbed = Testbed::new(&building(&SLOW), &["libfoo", "libbar"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    // The next build must succeed in that time, too.
    let mut agent = testbed.start(&["--build-timeout", "5"]).unwrap();
    let status = wait_for_hold(&testbed);
    assert_eq!(status["package"], "libfoo/1.0.0");
    // The answer does not wait for the end of the hold.
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
    let posted = agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    let durable = agent.wait_for_phase(LIMIT, "durable", 1).unwrap();
    let time = Duration::from_nanos(posted.at - durable.at);
    assert!(time < AT_ONCE + LOAD, "{time:?}");
    check_kept(&testbed, &status);
    check_report(&testbed, &agent, &status["holds"][0]);
    assert_eq!(lock_content(&testbed), status["pid"].to_string());
    let mut operator = operator(&testbed, &status);
    assert_eq!(operator.run("info status").unwrap(), "VM status: paused");
    assert_eq!(testbed.controller.task_requests(), 1, "no other task is asked for meanwhile");
    let_guest_continue(&testbed);
    operator.send("quit").unwrap();
    agent.wait_for_line("the guest has exited").unwrap();
    assert_eq!(testbed.result(2).unwrap().0, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    std::fs::remove_file(testbed.farm.run().join("go")).unwrap();
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}

/// Tap, screen, monitor, process and snapshot exist; the TFTP server does not.
fn check_kept(testbed: &Testbed, status: &Value) {
    let hold = &status["holds"][0];
    assert_eq!((&hold["reason"], &hold["machine"]), (&json!("build timeout"), &json!(MACHINE)));
    assert_eq!(hold["vnc"], "127.0.0.1:5901");
    let day = hold["until"].as_u64().unwrap() - status["since"].as_u64().unwrap();
    assert!((86_390..=86_410).contains(&day), "{status:#}");
    let inventory = testbed.farm.inventory().unwrap();
    let has = |kind: &str, text: &str| inventory.of_kind(kind).iter().any(|i| i.contains(text));
    assert!(has("link", "tap1") && has("port", "127.0.0.1:5901"), "{inventory}");
    assert!(has("process", &format!("process {} /run/bbot-pretend", hold["qemu-pid"])));
    assert!(!has("port", &format!("{}:23401", layout::BRIDGE_ADDRESS)), "{inventory}");
    let snapshot = Path::new(hold["snapshot"].as_str().unwrap());
    let snapshot = snapshot.file_name().unwrap().to_str().unwrap();
    assert!(has("subvolume", &format!("{MACHINE}/{snapshot}")), "{inventory}");
    let bootstrapped = testbed.farm.machine_folder(MACHINE).join(format!("{MACHINE}-default"));
    let manifest = bootstrapped.join("manifest");
    let manifest = testbed.farm.namespaces().run(|| std::fs::read(manifest)).unwrap().unwrap();
    let machine = BootstrappedMachine::parse(&manifest, "manifest").unwrap();
    assert_eq!(hold["mac"], machine.machine.mac.unwrap().to_string());
    let console = Path::new(hold["console-log"].as_str().unwrap());
    let console =
        testbed.farm.namespaces().run(|| std::fs::read_to_string(console)).unwrap().unwrap();
    assert!(console.contains("task.manifest"), "{console}");
}

/// The report is on standard error, in the state folder beside the console log, and in the output
/// of `--dump-status`.
fn check_report(testbed: &Testbed, agent: &Agent, hold: &Value) {
    agent.wait_for_line("the guest is held").unwrap();
    let lines = agent.lines();
    let line = lines.iter().find(|line| line.contains("the guest is held")).unwrap();
    let reports = testbed.failures("manifest").unwrap();
    assert_eq!(testbed.failures("log").unwrap(), [reports[0].with_extension("log")]);
    let report = std::fs::read_to_string(&reports[0]).unwrap();
    for name in ["qemu-pid", "vnc", "monitor", "console-log", "mac", "snapshot", "reason"] {
        let value = hold[name].as_str().map_or_else(|| hold[name].to_string(), str::to_owned);
        assert!(line.contains(&value), "{name}: {line}");
        assert!(report.contains(&format!("\n{name}: {value}\n")), "{name}: {report}");
    }
    let dump = testbed.idle_agent(&["--dump-status"]);
    let status: Value = serde_json::from_str(&testbed.stdout(&dump).unwrap()).unwrap();
    assert_eq!(status["instances"][0]["holds"][0], *hold, "{status:#}");
    assert_eq!(status["machines"][0]["toolchains"][0]["state"], "held", "{status:#}");
}

/// W27: an operator may let the guest continue; its exit ends the hold. Its output after the result
/// is in the console log that is kept.
#[test]
fn a_held_guest_may_continue() {
    let steps = ["get task.manifest", "put-result abnormal", "await /run/go", "exit 0"];
    let testbed = Testbed::new(&building(&steps), &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    let status = wait_for_hold(&testbed);
    assert_eq!(status["holds"][0]["reason"], "build terminated abnormally");
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abnormal));
    let mut operator = operator(&testbed, &status);
    let_guest_continue(&testbed);
    assert_eq!(operator.run("info status").unwrap(), "VM status: paused");
    operator.send("cont").unwrap();
    agent.wait_for_line("the guest has exited").unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    let log = std::fs::read_to_string(&testbed.failures("log").unwrap()[0]).unwrap();
    assert!(log.contains("Exit(0)"), "{log}");
}

/// W27: a guest is held after an unreadable result, and if it has never booted. The hold ends after
/// `--hold-timeout`, and the agent goes on.
#[test]
fn a_hold_ends_when_its_time_is_over() {
    let unreadable: &[&str] = &["get task.manifest", "put-cut-result success"];
    for (steps, reason, status) in [
        (unreadable, "unreadable result", ResultStatus::Abnormal),
        (&[], "build startup timeout", ResultStatus::Abort),
    ] {
        let testbed = Testbed::new(&building(steps), &["libfoo"]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let options = ["--hold-timeout", "5", "--build-startup", "3", "--build-retries", "0"];
        let mut agent = testbed.start(&options).unwrap();
        let held = wait_for_hold(&testbed);
        assert_eq!(held["holds"][0]["reason"], reason);
        assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(status));
        agent.wait_for_line("is over: its time is over").unwrap();
        testbed.wait_until_idle().unwrap();
        agent.end().unwrap();
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W27, W30: SIGUSR1 does not end a hold; results are posted during it, repeatedly until their
/// controller accepts them; SIGTERM and SIGHUP end it, and nothing is left.
#[test]
fn signals_and_posts_during_a_hold() {
    for signal in [Signal::TERM, Signal::HUP] {
        let testbed = Testbed::new(&building(&["get task.manifest"]), &["libfoo"]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        testbed
            .controller
            .inject_faults(|request| (request.is_result()).then(|| Fault::status(503)));
        let options = ["--build-timeout", "1", "--hold-timeout", "0"];
        let mut agent = testbed.start(&options).unwrap();
        let status = wait_for_hold(&testbed);
        assert_eq!(status["holds"][0]["until"], Value::Null);
        testbed.controller.wait_for_post(1).unwrap();
        agent.process().signal(Signal::USR1).unwrap();
        testbed.controller.stop_faults();
        // The event loop handles the signal before the post.
        assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
        agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
        assert_eq!(wait_for_hold(&testbed)["holds"], status["holds"]);
        agent.process().signal(signal).unwrap();
        assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(0));
        agent.wait_for_line("is over: the agent is being stopped").unwrap();
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W10, W12, W16, W27: the guest of a failed bootstrap is held, while the agent has the machine's
/// lock; then the machine rests, another is used, and nothing is left.
#[test]
fn a_failed_bootstrap_is_held() {
    let ignores_power: &[&str] = &["ignore-power", "put-bootstrap 0.16.0"];
    for (steps, reason, boots) in [
        (&[][..], "bootstrap startup timeout", 2),
        (&["get toolchain.sha256"], "bootstrap timeout", 1),
        (ignores_power, "bootstrap shutdown timeout", 1),
    ] {
        let testbed = Testbed::new(&bootstrapping(steps), &[]).unwrap();
        testbed.farm.add_machine(&MachineSpec::small("other", SUCCESSFUL)).unwrap();
        let before = testbed.farm.inventory().unwrap();
        // The other machine must be bootstrapped in that time, too.
        let options = ["--bootstrap-startup", "4", "--bootstrap-retries", "1"];
        let options = [&options[..], &["--bootstrap-timeout", "4"], &["--shutdown-timeout", "4"]];
        let mut agent = testbed.start(&options.concat()).unwrap();
        let status = wait_for_hold(&testbed);
        assert_eq!(
            (&status["holds"][0]["reason"], &status["machine"]),
            (&json!(reason), &json!(MACHINE))
        );
        assert_eq!(status["package"], Value::Null);
        assert_eq!(lock_content(&testbed), status["pid"].to_string());
        // The guest of the last boot is held.
        let kept = |extension| testbed.failures(extension).unwrap().len();
        assert_eq!((kept("log"), kept("manifest")), (boots, 1));
        operator(&testbed, &status).send("quit").unwrap();
        agent.wait_for_line("it rests").unwrap();
        agent.wait_for_line("bootstrapped other").unwrap();
        testbed.wait_until_idle().unwrap();
        agent.end().unwrap();
        let other = format!("subvolume {}/other/other-default", layout::VOLUME);
        let left = testbed.leftovers(&before).unwrap();
        assert_eq!(left, [other], "{reason}");
    }
}

/// W27 with QEMU itself, whose guest has nothing to boot: it is paused, its monitor and screen
/// answer, and the operator ends it.
#[test]
fn qemu_holds_a_guest() {
    let testbed = Testbed::new("nothing to boot", &[]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let options = ["--hypervisor", "qemu-system-x86_64", "--bootstrap-startup", "1"];
    let controller = testbed.controller.url();
    let options = [&options[..], &["--bootstrap-retries", "0", &controller]].concat();
    // The last one of repeated options is used.
    let mut spec = testbed.idle_agent(&[]);
    spec.arguments.extend(options.iter().map(Into::into));
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let status = wait_for_hold(&testbed);
    let mut operator = operator(&testbed, &status);
    let state = operator.run("info status").unwrap();
    assert!(state.contains("paused"), "{state}");
    let screen = status["holds"][0]["vnc"].as_str().unwrap().to_owned();
    let viewer = testbed.farm.namespaces().run(|| TcpStream::connect(screen)).unwrap();
    let mut greeting = [0; 4];
    viewer.unwrap().read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"RFB ");
    operator.send("quit").unwrap();
    agent.wait_for_line("the guest has exited").unwrap();
    agent.end().unwrap();
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}

/// W3, W27, W41: an agent that is killed while it holds a guest leaves everything; the next one
/// removes it, and the task does not get another answer.
#[test]
fn a_hold_of_a_killed_agent_is_swept() {
    let testbed = Testbed::new(&building(&["get task.manifest"]), &["libfoo"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&["--build-timeout", "1"]).unwrap();
    wait_for_hold(&testbed);
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    agent.kill().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 1).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    // The same result may be posted twice, but no other one.
    let is_result = |one: &&Exchange| one.request.is_result();
    for exchange in testbed.controller.exchanges().iter().filter(is_result) {
        let result = ResultRequest::parse(&exchange.request.body, "result").unwrap();
        assert_eq!(result.result.status, ResultStatus::Abort);
    }
    let left = testbed.leftovers(&before).unwrap();
    let left: Vec<_> = left.iter().filter(|item| !item.starts_with("lock ")).collect();
    assert!(left.is_empty(), "{left:?}");
}
