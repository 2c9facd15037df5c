//! What agents show: the output of `--dump-status`, and the messages to the service manager.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::Fault;
use bbot_tests::harness::hypervisor::{SILENT, SUCCESSFUL};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, TASK, Testbed};
use serde_json::{Value, json};

const NOBODY: u32 = 65534;
/// The time within which the service manager expects WATCHDOG=1; the agent sends it twice as often,
/// which leaves a second for delays on a loaded host.
const WATCHDOG: Duration = Duration::from_secs(2);

/// The output of `--dump-status`, run by this user.
pub(super) fn dump(testbed: &Testbed, user: Option<u32>) -> Value {
    let program = bbot_tests::harness::programs::find("bbot-agent").unwrap();
    let program = testbed.farm.install_program("bbot-agent.program", &program).unwrap();
    let namespaces = testbed.farm.namespaces();
    let mut command = namespaces.command(program);
    command.arg("--dump-status").arg("--machines").arg(testbed.farm.machines());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = namespaces.output(&mut command).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The only machine's only toolchain.
fn toolchain(status: &Value) -> &Value {
    let machines = status["machines"].as_array().unwrap();
    assert_eq!((machines.len(), &machines[0]["name"]), (1, &json!(MACHINE)), "{status:#}");
    &machines[0]["toolchains"][0]
}

/// W43: the phase, the machine, the outbox and the last answers of controllers: of an agent that
/// builds, of one that was killed, of one that is idle with a result that its controller does not
/// accept. No process is asked, and no lock is waited for.
#[test]
fn the_host_is_shown() {
    let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    let host_lock = File::open(testbed.host_lock_file()).unwrap();
    host_lock.lock().unwrap();
    let status = dump(&testbed, None);
    host_lock.unlock().unwrap();
    assert_eq!((&status["version"], &status["problems"]), (&json!(1), &json!([])), "{status:#}");
    let instance = &status["instances"][0];
    let pid = &instance["pid"];
    assert_eq!(instance["name"], "default-1");
    assert_eq!(instance["running"], true);
    assert_eq!(
        (&instance["phase"], &instance["package"]),
        (&json!("building"), &json!("libfoo/1.0.0"))
    );
    assert_eq!(instance["controllers"][0]["outcome"], "task");
    assert_eq!(instance["outbox"]["entries"], 0);
    let expected = json!({"name": "default", "bootstrapped": true, "state": "building",
        "holder": {"pid": pid, "priority": 0, "instance": "default-1"}});
    assert_eq!(toolchain(&status), &expected, "{status:#}");

    agent.kill().unwrap();
    let status = dump(&testbed, None);
    assert_eq!(status["instances"][0]["running"], false);
    assert_eq!(status["instances"][0]["phase"], "building");
    assert_eq!(toolchain(&status)["state"], "free", "{status:#}");

    testbed.controller.inject_faults(|_| Some(Fault::status(503)));
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 1).unwrap();
    testbed.wait_until_idle().unwrap();
    let status = dump(&testbed, None);
    let instance = &status["instances"][0];
    assert_eq!((&instance["running"], &instance["phase"]), (&json!(true), &json!("idle")));
    assert_eq!(instance["outbox"]["entries"], 1, "the interrupt");
    assert_eq!(instance["controllers"][0]["outcome"], "failed");
    assert_eq!(instance["controllers"][0]["reason"], "HTTP 503: not now");
    agent.end().unwrap();
}

/// W43: without root, inaccessible files are reported as problems, and the rest is shown.
#[test]
fn every_user_may_dump_the_status() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    testbed.controller.wait_for_request().unwrap();
    testbed.wait_until_idle().unwrap();
    let status = dump(&testbed, Some(NOBODY));
    let instance = &status["instances"][0];
    assert_eq!((&instance["running"], &instance["phase"]), (&json!(true), &json!("idle")));
    assert_eq!(instance["controllers"][0]["outcome"], "no-task");
    assert_eq!(instance["outbox"], Value::Null);
    let problems = status["problems"].as_array().unwrap();
    let is_hidden = |problem: &Value| problem.as_str().unwrap().contains("Permission denied");
    assert!(!problems.is_empty() && problems.iter().all(is_hidden), "{status:#}");
    agent.end().unwrap();
}

/// W43: no lock is taken, not even for a moment: the holders are read from `/proc/locks`.
#[test]
fn no_lock_is_taken_to_dump_the_status() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let locks = [testbed.host_lock_file(), testbed.lock_file(MACHINE)];
    testbed.farm.namespaces().run(|| locks.map(|path| File::create(path).unwrap())).unwrap();
    let namespaces = testbed.farm.namespaces();
    let mut strace = namespaces.command("strace");
    strace.args(["-f", "-e", "trace=flock,fcntl,openat", "-e", "signal=none"]);
    strace.arg(bbot_tests::harness::programs::find("bbot-agent").unwrap());
    strace.arg("--dump-status").arg("--machines").arg(testbed.farm.machines());
    let output = namespaces.output(&mut strace).unwrap();
    let calls = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{calls}");
    assert!(calls.contains("/proc/locks"), "{calls}");
    let is_lock = |line: &&str| line.contains("flock(") || line.contains("SETLK");
    assert_eq!(calls.lines().find(is_lock), None);
    let writes = |line: &&str| ["O_WRONLY", "O_RDWR"].iter().any(|mode| line.contains(mode));
    assert_eq!(calls.lines().find(writes), None);
}

/// W5: with `--systemd-daemon` every line has its priority, and the first ones are the banner.
#[test]
fn every_line_has_its_priority() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let spec = testbed.agent(&["--systemd-daemon"]);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    agent.end().unwrap();
    let lines = agent.lines();
    let has_priority =
        |line: &String| ["<3>", "<4>", "<6>", "<7>"].iter().any(|start| line.starts_with(start));
    assert!(lines.iter().all(has_priority), "{lines:#?}");
    assert!(lines[0].starts_with("<6>info: bbot agent 0.16.0 (bbot-rs "), "{lines:#?}");
    let last = format!("<6>info: controller url 0000={}", testbed.controller.url());
    let banner = lines.iter().position(|line| *line == last).expect("no controller in the banner");
    assert!(lines[..=banner].iter().all(|line| line.starts_with("<6>info: ")), "{lines:#?}");
}

/// The socket of a service manager.
struct Manager(UnixDatagram);

impl Manager {
    /// Listens at `/run/notify`.
    fn new(testbed: &Testbed) -> Manager {
        Manager(UnixDatagram::bind(testbed.farm.run().join("notify")).unwrap())
    }

    /// The next message, `limit` at most.
    fn receive(&self, limit: Duration) -> Option<String> {
        let mut buffer = [0; 1000];
        self.0.set_read_timeout(Some(limit)).unwrap();
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// All messages up to the one that `is_last`.
    fn receive_until(&self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut received = Vec::new();
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline
            && !received.last().is_some_and(|last: &String| is_last(last))
        {
            received.extend(self.receive(LIMIT));
        }
        assert!(received.last().is_some_and(|last| is_last(last)), "{received:?}");
        received
    }
}

/// W5: READY=1 is sent when the agent has recovered, STATUS= with every phase, and WATCHDOG=1 twice
/// per watchdog time by the event loop alone: an agent whose loop hangs, here on the open of a
/// named pipe without a writer, does not send it.
#[test]
fn the_service_manager_is_told() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let manager = Manager::new(&testbed);
    let pipe = testbed.farm.run().join("request");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut spec = testbed.idle_agent(&["--fake-request", "/run/request", "--dump-result"]);
    spec.environment = environment(WATCHDOG);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let received = manager.receive_until(|message| message == "STATUS=asking");
    assert_eq!(received[..2], ["STATUS=recovering", "READY=1"]);
    assert!(received.contains(&format!("STATUS=bootstrapping {MACHINE}")), "{received:?}");
    assert!(received.contains(&"WATCHDOG=1".to_owned()), "{received:?}");
    assert_eq!(manager.receive(WATCHDOG * 3 / 2), None, "the loop hangs");
    File::options().write(true).open(&pipe).unwrap().write_all(TASK.as_bytes()).unwrap();
    let received = manager.receive_until(|message| message == "STOPPING=1");
    assert!(
        received.contains(&format!("STATUS=building libfoo/1.0.0 on {MACHINE}")),
        "{received:?}"
    );
    assert!(agent.wait(LIMIT).unwrap().success());

    let mut spec = testbed.agent(&[]);
    spec.environment = environment(WATCHDOG);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    manager.receive_until(|message| message == "STATUS=idle");
    for _ in 0..4 {
        assert_eq!(manager.receive(WATCHDOG).as_deref(), Some("WATCHDOG=1"));
    }
    agent.end().unwrap();
}

/// W5, W27: an instance that holds a guest sends that status, and WATCHDOG=1.
#[test]
fn the_service_manager_is_told_of_a_hold() {
    let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
    let manager = Manager::new(&testbed);
    let mut spec = testbed.agent(&["--build-timeout", "1"]);
    spec.environment = environment(WATCHDOG);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let held = format!("STATUS=holding libfoo/1.0.0 on {MACHINE}");
    manager.receive_until(|message| message == held);
    for _ in 0..4 {
        assert_eq!(manager.receive(WATCHDOG).as_deref(), Some("WATCHDOG=1"));
    }
    agent.end().unwrap();
}

fn environment(watchdog: Duration) -> Vec<(String, String)> {
    let watchdog = watchdog.as_micros().to_string();
    let variables = [("NOTIFY_SOCKET", "/run/notify"), ("WATCHDOG_USEC", &watchdog)];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
