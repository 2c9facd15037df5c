//! Guests that are held for an operator's look (W27): the real agent, everything around it, and an
//! operator at the monitor of a pretend guest.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use bbot_manifest::{BootstrappedMachine, Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Exchange, Fault, Verdict};
use bbot_tests::harness::farm::{MachineSpec, layout};
use bbot_tests::harness::hypervisor::{SUCCESSFUL, bootstrapping, building};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::operator::Operator;
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use bbot_tests::harness::watch::wait_for_file;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Far more than answering needs, far less than a hold.
const AT_ONCE: Duration = Duration::from_secs(1);
/// A guest that takes its time in a build until it may go on.
const SLOW: [&str; 3] = ["get task.manifest", "await /run/go", "put-result success"];

/// What the instance says of itself when it has begun to hold a guest.
fn wait_for_hold(testbed: &Testbed) -> Value {
    let file = testbed.runtime_folder().join("status.json");
    wait_for_file(&file, LIMIT).unwrap();
    testbed.wait_for_status("holding").unwrap();
    let status = std::fs::read(file).unwrap();
    serde_json::from_slice(&status).unwrap()
}

/// The monitor of the held guest.
fn operator(testbed: &Testbed, status: &Value) -> Operator {
    let path = status["holds"][0]["monitor"].as_str().unwrap();
    Operator::connect(&testbed.farm, Path::new(path)).unwrap()
}

/// What the lock file of the scene's machine says.
fn lock_content(testbed: &Testbed) -> String {
    let path = testbed.lock_file(MACHINE);
    testbed.farm.namespaces().run(|| std::fs::read_to_string(path)).unwrap().unwrap()
}

fn let_go(testbed: &Testbed) {
    std::fs::write(testbed.farm.run().join("go"), "").unwrap();
}

/// W27, W39: a build that takes too long is answered at once; its guest stands still, and what an
/// operator needs is there and said to be; what it does not need is gone. When the operator quits,
/// everything else goes, too, and the instance takes the next task.
#[test]
fn a_guest_that_timed_out_is_held() {
    let testbed = Testbed::new(&building(&SLOW), &["libfoo", "libbar"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&["--build-timeout", "1"]).unwrap();
    let status = wait_for_hold(&testbed);
    assert_eq!(status["package"], "libfoo/1.0.0");
    // The answer does not wait for the end of the hold.
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
    let posted = agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    let durable = agent.wait_for_phase(LIMIT, "durable", 1).unwrap();
    let time = Duration::from_nanos(posted.at - durable.at);
    assert!(time < AT_ONCE, "{time:?}");
    check_places(&testbed, &status);
    check_report(&testbed, &agent, &status["holds"][0]);
    assert_eq!(lock_content(&testbed), status["pid"].to_string());
    let mut operator = operator(&testbed, &status);
    assert_eq!(operator.run("info status").unwrap(), "VM status: paused");
    assert_eq!(testbed.controller.task_requests(), 1, "no other task is taken meanwhile");
    let_go(&testbed);
    operator.send("quit").unwrap();
    agent.wait_for_line("the guest has exited").unwrap();
    assert_eq!(testbed.result(2).unwrap().0, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    std::fs::remove_file(testbed.farm.run().join("go")).unwrap();
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}

/// Tap, screen, monitor, process and snapshot are there; the TFTP server is not.
fn check_places(testbed: &Testbed, status: &Value) {
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

/// The report is on standard error, in the state folder beside the console log, and in the document
/// about the host.
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
    let output = testbed.output(&dump).unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["instances"][0]["holds"][0], *hold, "{status:#}");
    assert_eq!(status["machines"][0]["toolchains"][0]["state"], "held", "{status:#}");
}

/// W27: an operator may let the guest go on; its exit ends the hold. What it said after its answer
/// is in the console log that is kept.
#[test]
fn a_held_guest_may_go_on() {
    let steps = ["get task.manifest", "put-result abnormal", "await /run/go", "exit 0"];
    let testbed = Testbed::new(&building(&steps), &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    let status = wait_for_hold(&testbed);
    assert_eq!(status["holds"][0]["reason"], "build terminated abnormally");
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abnormal));
    let mut operator = operator(&testbed, &status);
    let_go(&testbed);
    assert_eq!(operator.run("info status").unwrap(), "VM status: paused");
    operator.send("cont").unwrap();
    agent.wait_for_line("the guest has exited").unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    let log = std::fs::read_to_string(&testbed.failures("log").unwrap()[0]).unwrap();
    assert!(log.contains("Exit(0)"), "{log}");
}

/// W27: an unreadable result gives cause for a hold, and so does a guest that did not come up as
/// often as it was booted. Either ends when its time is over, and the agent goes on.
#[test]
fn a_hold_ends_when_its_time_is_over() {
    let unreadable: &[&str] = &["get task.manifest", "put-cut-result success"];
    for (steps, reason, status) in [
        (unreadable, "unreadable result", ResultStatus::Abnormal),
        (&[], "build startup timeout", ResultStatus::Abort),
    ] {
        let testbed = Testbed::new(&building(steps), &["libfoo"]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let options = ["--hold-timeout", "2", "--build-startup", "2", "--build-retries", "0"];
        let mut agent = testbed.start(&options).unwrap();
        let said = wait_for_hold(&testbed);
        assert_eq!(said["holds"][0]["reason"], reason);
        assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(status));
        agent.wait_for_line("is over: its time is over").unwrap();
        testbed.wait_until_idle().unwrap();
        agent.end().unwrap();
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W27, W30: SIGUSR1 does nothing to a hold; results are posted during it, again and again until
/// their controller takes them; SIGTERM and SIGHUP end it, and nothing is left.
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
        let refused = |exchanges: &[Exchange]| {
            let is_result = |one: &&Exchange| one.request.is_result();
            exchanges.iter().find(is_result).map(drop)
        };
        testbed.controller.wait(LIMIT, refused).expect("nothing was posted");
        agent.process().signal(Signal::USR1).unwrap();
        testbed.controller.stop_faults();
        // It comes after the signal, and by the same loop.
        assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
        agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
        assert_eq!(wait_for_hold(&testbed)["holds"], status["holds"]);
        agent.process().signal(signal).unwrap();
        assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(0));
        agent.wait_for_line("is over: the agent is being stopped").unwrap();
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W10, W12, W16, W27: whatever goes wrong with a bootstrap, its guest is held, for the machine's
/// lock is the process's already; then the machine rests, another is used, and nothing is left.
#[test]
fn a_failed_bootstrap_is_held() {
    let deaf: &[&str] = &["ignore-power", "put-bootstrap 0.16.0"];
    for (steps, reason, boots) in [
        (&[][..], "bootstrap startup timeout", 2),
        (&["get toolchain.sha256"], "bootstrap timeout", 1),
        (deaf, "bootstrap shutdown timeout", 1),
    ] {
        let testbed = Testbed::new(&bootstrapping(steps), &[]).unwrap();
        testbed.farm.add_machine(&MachineSpec::small("other", SUCCESSFUL)).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let options = ["--bootstrap-startup", "1", "--bootstrap-retries", "1"];
        let options = [&options[..], &["--bootstrap-timeout", "1"], &["--shutdown-timeout", "1"]];
        let mut agent = testbed.start(&options.concat()).unwrap();
        let status = wait_for_hold(&testbed);
        assert_eq!(
            (&status["holds"][0]["reason"], &status["machine"]),
            (&json!(reason), &json!(MACHINE))
        );
        assert_eq!(status["package"], Value::Null);
        assert_eq!(lock_content(&testbed), status["pid"].to_string());
        // Of the boots, the last one is held.
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

/// W27 with QEMU itself, whose guest finds nothing to boot: it stands still, its monitor and screen
/// answer, and it ends by the operator's word.
#[test]
fn qemu_holds_a_guest() {
    let testbed = Testbed::new("nothing to boot", &[]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let options = ["--hypervisor", "qemu-system-x86_64", "--bootstrap-startup", "1"];
    let controller = testbed.controller.url();
    let options = [&options[..], &["--bootstrap-retries", "0", &controller]].concat();
    // Of repeated options the last one counts.
    let mut spec = testbed.idle_agent(&[]);
    spec.arguments.extend(options.iter().map(Into::into));
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let status = wait_for_hold(&testbed);
    let mut operator = operator(&testbed, &status);
    let said = operator.run("info status").unwrap();
    assert!(said.contains("paused"), "{said}");
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

/// W3, W27, W41: an agent that is killed while it holds a guest leaves all of it; the next one
/// sweeps it, and the task is not answered otherwise.
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
    // The same answer may come twice, another one never does.
    let is_result = |one: &&Exchange| one.request.is_result();
    for exchange in testbed.controller.exchanges().iter().filter(is_result) {
        let result = ResultRequest::parse(&exchange.request.body, "result").unwrap();
        assert_eq!(result.result.status, ResultStatus::Abort);
    }
    let left = testbed.leftovers(&before).unwrap();
    let left: Vec<_> = left.iter().filter(|item| !item.starts_with("lock ")).collect();
    assert!(left.is_empty(), "{left:?}");
}
