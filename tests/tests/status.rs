//! What can be seen of agents from outside: `--dump-status`, and what the service manager hears.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::Fault;
use bbot_tests::harness::hypervisor::{SILENT, SUCCESSFUL};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use serde_json::{Value, json};

const NOBODY: u32 = 65534;

/// What `--dump-status` prints, as this user.
pub(super) fn dump(testbed: &Testbed, user: Option<u32>) -> Value {
    // Where every user may run it.
    let program = testbed.farm.run().join("look");
    std::fs::copy(bbot_tests::harness::programs::find("bbot-agent").unwrap(), &program).unwrap();
    let namespaces = testbed.farm.namespaces();
    let mut command = namespaces.command("/run/look");
    command.arg("--dump-status").arg("--machines").arg(testbed.farm.machines());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = namespaces.output(&mut command).unwrap();
    std::fs::remove_file(program).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The only machine's only toolchain.
fn toolchain(status: &Value) -> &Value {
    let machines = status["machines"].as_array().unwrap();
    assert_eq!((machines.len(), &machines[0]["name"]), (1, &json!(MACHINE)), "{status:#}");
    &machines[0]["toolchains"][0]
}

/// W43: who does what on which machine, what waits, and when controllers were heard last: of an
/// agent that builds, of one that was killed, of one that is idle with a result that its controller
/// does not take. Nobody is asked and no lock is waited for.
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

/// W43: without root, what file modes hide is a problem, and the rest is shown.
#[test]
fn anybody_may_look() {
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

/// W43: no lock is taken to look, not even for a moment: the kernel is asked who has them.
#[test]
fn no_lock_is_taken_to_look() {
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

/// What a service manager hears.
struct Manager(UnixDatagram);

impl Manager {
    /// Listens where `/run/notify` is.
    fn new(testbed: &Testbed) -> Manager {
        Manager(UnixDatagram::bind(testbed.farm.run().join("notify")).unwrap())
    }

    /// The next message, `limit` at most.
    fn hear(&self, limit: Duration) -> Option<String> {
        let mut buffer = [0; 1000];
        self.0.set_read_timeout(Some(limit)).unwrap();
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// All messages up to the one that `is_last`.
    fn hear_until(&self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut heard = Vec::new();
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline && !heard.last().is_some_and(|last: &String| is_last(last))
        {
            heard.extend(self.hear(LIMIT));
        }
        assert!(heard.last().is_some_and(|last| is_last(last)), "{heard:?}");
        heard
    }
}

/// The task manifest that a named pipe gives to the agent.
fn task() -> String {
    format!(
        ": 1\nname: libfoo\nversion: 1.0.0\nrepository-url: https://pkg.example.org/1/stable\n\
         machine: {MACHINE}\ntarget: x86_64-linux-gnu\n"
    )
}

/// W5: READY=1 comes when the agent has recovered, STATUS= with every phase, WATCHDOG=1 twice in
/// its time from the event loop alone: an agent whose loop hangs, here on a request from a named
/// pipe that nobody writes to, does not say that it lives.
#[test]
fn the_service_manager_is_told() {
    const PATIENCE: Duration = Duration::from_millis(400);
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let manager = Manager::new(&testbed);
    let pipe = testbed.farm.run().join("request");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut spec = testbed.idle_agent(&["--fake-request", "/run/request", "--dump-result"]);
    spec.environment = environment(PATIENCE);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let heard = manager.hear_until(|message| message == "STATUS=asking");
    assert_eq!(heard[..2], ["STATUS=recovering", "READY=1"]);
    assert!(heard.contains(&format!("STATUS=bootstrapping {MACHINE}")), "{heard:?}");
    assert!(heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
    assert_eq!(manager.hear(PATIENCE * 3), None, "the loop hangs");
    File::options().write(true).open(&pipe).unwrap().write_all(task().as_bytes()).unwrap();
    let heard = manager.hear_until(|message| message == "STOPPING=1");
    assert!(heard.contains(&format!("STATUS=building libfoo/1.0.0 on {MACHINE}")), "{heard:?}");
    assert!(agent.wait(LIMIT).unwrap().success());

    let mut spec = testbed.agent(&[]);
    spec.environment = environment(PATIENCE);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    manager.hear_until(|message| message == "STATUS=idle");
    for _ in 0..8 {
        assert_eq!(manager.hear(PATIENCE).as_deref(), Some("WATCHDOG=1"));
    }
    agent.end().unwrap();
}

/// W5, W27: an instance that holds a guest says so, and that it lives.
#[test]
fn the_service_manager_is_told_of_a_hold() {
    const PATIENCE: Duration = Duration::from_millis(400);
    let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
    let manager = Manager::new(&testbed);
    let mut spec = testbed.agent(&["--build-timeout", "1"]);
    spec.environment = environment(PATIENCE);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let held = format!("STATUS=holding libfoo/1.0.0 on {MACHINE}");
    manager.hear_until(|message| message == held);
    for _ in 0..4 {
        assert_eq!(manager.hear(PATIENCE).as_deref(), Some("WATCHDOG=1"));
    }
    agent.end().unwrap();
}

fn environment(patience: Duration) -> Vec<(String, String)> {
    let patience = patience.as_micros().to_string();
    let variables = [("NOTIFY_SOCKET", "/run/notify"), ("WATCHDOG_USEC", &patience)];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
