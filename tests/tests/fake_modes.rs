//! What tests parts of a farm beside a farm that works: fake modes and dumps, on a real host.

use std::path::PathBuf;
use std::process::Output;

use bbot_manifest::{Manifest, ResultStatus, TaskManifest};
use bbot_tests::harness::agent::{Agent, AgentSpec};
use bbot_tests::harness::controller::Verdict;
use bbot_tests::harness::farm::MachineSpec;
use bbot_tests::harness::hypervisor::{SILENT, SUCCESSFUL};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, TASK, TOOLCHAIN, Testbed};

struct Files {
    machine: PathBuf,
    request: PathBuf,
}

impl Files {
    fn new(testbed: &Testbed) -> Files {
        let folder = testbed.farm.scratch();
        let files = Files { machine: folder.join("machine"), request: folder.join("request") };
        let machine = format!(": 1\nid: fake-1\nname: {MACHINE}\nsummary: Fake\n");
        std::fs::write(&files.machine, machine).unwrap();
        files.ask(TASK);
        files
    }

    fn ask(&self, task: &str) {
        std::fs::write(&self.request, task).unwrap();
    }

    fn machine(&self) -> String {
        format!("--fake-machine={}", self.machine.display())
    }

    fn request(&self) -> String {
        format!("--fake-request={}", self.request.display())
    }
}

fn run(testbed: &Testbed, spec: &AgentSpec) -> Output {
    testbed.farm.namespaces().output(&mut spec.command(&testbed.farm).unwrap()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A host whose machine is bootstrapped.
fn host(script: &str, packages: &[&str]) -> Testbed {
    let testbed = Testbed::new(script, packages).unwrap();
    let machine = MachineSpec::small(MACHINE, script);
    testbed.farm.add_bootstrapped(&machine, TOOLCHAIN).unwrap();
    testbed
}

/// W46: a process that fakes something is refused while the instance whose name it bears runs:
/// its record, its outbox and its TFTP folders stay as they are.
#[test]
fn fakes_are_refused_beside_the_instance() {
    let testbed = host(SUCCESSFUL, &[]);
    let files = Files::new(&testbed);
    let mut agent = testbed.start(&[]).unwrap();
    testbed.wait_until_idle().unwrap();
    let upload = testbed.farm.tftp().join("build/default-1/put/result");
    std::fs::create_dir_all(upload.parent().unwrap()).unwrap();
    let kept = [upload, testbed.state("task-at-hand.manifest"), testbed.state("outbox/1")];
    for file in &kept {
        std::fs::write(file, "the instance's").unwrap();
    }
    let (machine, request) = (files.machine(), files.request());
    let modes: [&[&str]; 8] = [
        &[&machine],
        &[&machine, "--fake-build"],
        &[&machine, &request, "--dump-result"],
        &[&request, "--dump-task"],
        &[&request, "--fake-build"],
        &[&request, "--dump-result"],
        &["--fake-build"],
        &["--fake-bootstrap"],
    ];
    for mode in modes {
        let output = run(&testbed, &testbed.agent(mode));
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{mode:?}: {stderr}");
        assert!(stderr.contains("instance 1 of toolchain default is already running"), "{stderr}");
    }
    // With another runtime folder the instance's lock is another file.
    let apart = run(&testbed, &testbed.agent(&[&machine, "--runtime-dir", "/run/apart"]));
    assert_eq!(apart.status.code(), Some(1));
    assert!(stderr(&apart).contains("is used by another process"), "{}", stderr(&apart));
    for file in &kept {
        assert_eq!(std::fs::read(file).unwrap(), b"the instance's", "{}", file.display());
    }
    agent.end().unwrap();
}

/// W46, W41: the task that a killed instance had at hand is answered also if what starts next with
/// its name is a fake.
#[test]
fn a_fake_answers_the_task_at_hand() {
    let testbed = host(SILENT, &["libfoo"]);
    let files = Files::new(&testbed);
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "qemu", 1).unwrap();
    agent.kill().unwrap();
    let mut fake = Agent::start(&testbed.farm, &testbed.agent(&[&files.machine()])).unwrap();
    let expected = (Verdict::PutBack, ResultStatus::Interrupt);
    let (verdict, request) = testbed.result(1).unwrap();
    assert_eq!((verdict, request.result.status), expected, "{:#?}", fake.lines());
    fake.end().unwrap();
}

/// W47: `--dump-machines` beside the instance prints what would be offered, and changes nothing.
#[test]
fn machines_are_dumped_beside_the_instance() {
    let testbed = host(SUCCESSFUL, &[]);
    let mut agent = testbed.start(&[]).unwrap();
    testbed.wait_until_idle().unwrap();
    testbed.farm.add_machine(&MachineSpec::small("a-due-machine", SUCCESSFUL)).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let text = testbed.stdout(&testbed.idle_agent(&["--dump-machines"])).unwrap();
    let expected = format!(": 1\nid: {MACHINE}-1.1\nname: {MACHINE}\nsummary: Machine {MACHINE}\n");
    assert_eq!(text, expected);
    assert_eq!(testbed.farm.inventory().unwrap(), before);
    testbed.wait_for_status("idle").unwrap();
    agent.end().unwrap();
}

/// W42: what `--dump-task` prints is a whole manifest, which `--fake-request` takes.
#[test]
fn a_dumped_task_is_a_fake_request() {
    let testbed = host(SUCCESSFUL, &["libfoo"]);
    let files = Files::new(&testbed);
    let dumped = testbed.stdout(&testbed.agent(&["--dump-task"])).unwrap();
    assert!(dumped.starts_with(": 1\n") && dumped.contains("\nname: libfoo\n"), "{dumped}");
    TaskManifest::parse(dumped.as_bytes(), "dumped").unwrap();
    files.ask(&dumped);
    let again = testbed.stdout(&testbed.idle_agent(&[&files.request(), "--dump-task"])).unwrap();
    assert_eq!(again, dumped);
}

/// W42: a fake request is the operator's own: a local repository and any interactivity are
/// accepted, as by the original agent. A machine that is not there is an error, and the exit code
/// says so, but for `--dump-task`, where the original agent's is 0.
#[test]
fn a_fake_request_is_the_operators() {
    let testbed = host(SUCCESSFUL, &[]);
    let files = Files::new(&testbed);
    let location = |line: &str| line.starts_with("repository-url: ");
    let local: Vec<&str> = TASK.lines().filter(|line| !location(line)).collect();
    assert!(local.len() < TASK.lines().count(), "{TASK}");
    let local = local.join("\n") + "\nrepository-url: /srv/repository\nrepository-type: dir\n";
    for (task, mode) in [
        (local, "false"),
        (format!("{TASK}interactive: error\n"), "false"),
        (TASK.to_owned(), "true"),
    ] {
        files.ask(&task);
        let request = files.request();
        let mut options = vec![request.as_str(), "--dump-task", "--interactive", mode];
        options.extend(["--interactive-address", "192.0.2.1"]);
        let output = run(&testbed, &testbed.idle_agent(&options));
        assert_eq!(String::from_utf8_lossy(&output.stdout), task, "{}", stderr(&output));
    }
    files.ask(&TASK.replace(MACHINE, "no-such-machine"));
    for (option, code) in [("--dump-task", 0), ("--dump-result", 1), ("--fake-build", 1)] {
        let output = run(&testbed, &testbed.idle_agent(&[&files.request(), option]));
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{option}: {stderr}");
        assert!(stderr.contains("'no-such-machine' was not offered"), "{option}: {stderr}");
        assert_eq!(output.stdout, b"");
    }
    files.ask("rubbish");
    for option in ["--dump-task", "--dump-result"] {
        let output = run(&testbed, &testbed.idle_agent(&[&files.request(), option]));
        assert_eq!(output.status.code(), Some(1), "{option}: {}", stderr(&output));
    }
}
