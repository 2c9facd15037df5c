//! The real agent in a farm, with real btrfs, network, TFTP, HTTP and RSA, and a simulated guest
//! that takes milliseconds.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::Mutex;

use bbot_manifest::text::decode_base64;
use bbot_manifest::{BootstrappedMachine, Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Exchange, Fault, Package, Verdict};
use bbot_tests::harness::farm::{MachineSpec, layout};
use bbot_tests::harness::hypervisor::{SILENT, SUCCESSFUL, building, lz4_frame};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, TASK, Testbed};
use bbot_tests::harness::watch::wait_for_file;

/// Everything once: bootstrap (W12 to W14), build (W25, W26, W28), report (W37 to W39). The result
/// is stored, its signature with it, and nothing is left but the bootstrapped machine (W34).
#[test]
fn a_task_is_done() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "posted", 1).unwrap();
    let (verdict, result) = testbed.result(1).unwrap();
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Success));
    assert_eq!(result.result.results[0].log.trim_end(), "pretended");
    assert_eq!(result.agent_checksum.as_deref(), Some("2"));
    agent.end().unwrap();
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    let subvolumes = testbed.farm.inventory().unwrap();
    let bootstrapped = format!("subvolume default/{MACHINE}/{MACHINE}-default");
    assert!(subvolumes.of_kind("subvolume").contains(&bootstrapped.as_str()));
}

/// A task as a controller may write it: with a comment, continued and multi-line values,
/// significant and insignificant spaces, unknown names.
const ODD_TASK: &str = "name:  libfoo\nversion: 1.0.0\n# A comment.\nx-first: a\\\n  b\n\
    repository-url: https://pkg.example.org/1/stable\nrepository-type: pkg\ntrust: yes\n\
    x-lines:\n\\\n c \n# no comment\n\n\\\nmachine: linux-pretend\ntarget: x86_64-linux-gnu\n\
    trust:  yes\nx-empty:\nworker-checksum: 17\nx-last: \\\\\n";

/// Has an agent perform a task for each of these ends of the response manifest; returns the task
/// manifests that the worker in the guest has read, byte for byte.
fn tasks_in_the_guest(options: &[&str], heads: &[&str]) -> Vec<String> {
    let testbed = Testbed::without_machines().unwrap();
    testbed.add_machine(MACHINE, &["get task.manifest", "put-task"]).unwrap();
    let result_url = testbed.controller.url().replace("build-task", "build-result");
    let head = format!(": 1\nsession: odd\nresult-url: {result_url}\n");
    let task = |end: &&str| Fault::manifest(&format!("{head}{end}:\n{ODD_TASK}"));
    let tasks = Mutex::new(heads.iter().map(task).collect::<Vec<_>>().into_iter());
    testbed.controller.inject_faults(move |request| match request.query() {
        "build-task" => tasks.lock().unwrap().next(),
        _ => Some(Fault::manifest("")),
    });
    let mut agent = testbed.start(options).unwrap();
    let bodies = |all: &[Exchange]| {
        let results = all.iter().filter(|one| one.request.is_result());
        let bodies: Vec<_> = results.map(|one| one.request.body.clone()).collect();
        (bodies.len() == heads.len()).then_some(bodies)
    };
    let bodies = testbed.controller.wait(LIMIT, bodies).expect("a result is missing");
    agent.end().unwrap();
    let task = |body: Vec<u8>| {
        let request = ResultRequest::parse(&body, "result").unwrap();
        let task = decode_base64(request.result.results[0].log.trim()).unwrap();
        String::from_utf8(task).unwrap()
    };
    bodies.into_iter().map(task).collect()
}

/// W24: the worker gets the pairs of the task byte for byte and in their order; only
/// `worker-checksum` is removed if the last result came from another version of the agent.
#[test]
fn a_task_reaches_the_worker_as_it_came() {
    let heads = ["agent-checksum: 2\n", "agent-checksum: 1\n", ""];
    let whole = format!(": 1\n{ODD_TASK}");
    let without = whole.replace("worker-checksum: 17\n", "");
    assert_eq!(tasks_in_the_guest(&[], &heads), [whole, without.clone(), without]);
}

/// W24: `--trust` replaces the task's trust, and nothing else.
#[test]
fn a_hosts_trust_reaches_the_worker() {
    let fingerprint = ["AB"; 32].join(":");
    let options = ["--trust", &fingerprint, "--trust", "yes"];
    let trust = format!("trust: {fingerprint}\ntrust: yes\n");
    let task = ODD_TASK.replace("trust:  yes\n", "").replace("trust: yes\n", &trust);
    let read = &tasks_in_the_guest(&options, &["agent-checksum: 2\n"])[0];
    // The only long line that the agent writes itself.
    assert_eq!(read.replacen(":A\\\nB:", ":AB:", 1), format!(": 1\n{task}"));
}

/// W2: a second process of the same toolchain and instance is refused, with one line.
#[test]
fn a_second_instance_is_refused() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 1).unwrap();
    let mut second = testbed.start(&[]).unwrap();
    assert_eq!(second.wait(LIMIT).unwrap().code(), Some(1));
    let lines = second.lines();
    let refusal = "instance 1 of toolchain default is already running";
    assert!(lines.len() == 1 && lines[0].contains(refusal), "{lines:?}");
}

/// W3, W41: an agent that is killed while its guest builds leaves process, tap, rules, snapshot
/// and folders; the next one removes them, answers the task with `interrupt`, and touches nothing
/// with another name.
#[test]
fn what_a_killed_agent_left_is_swept() {
    let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    // The bootstrap's first request, then the build's.
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    agent.kill().unwrap();
    let left = testbed.leftovers(&before).unwrap();
    for kind in ["process", "subvolume", "rules", "folder tftp/build"] {
        assert!(left.iter().any(|item| item.starts_with(kind)), "no {kind} in {left:?}");
    }
    // Names that resemble those of the instance; their owners do not run either.
    let machine = testbed.farm.machine_folder(MACHINE);
    let others =
        ["default-2-999999-0", "default-1-x-0", "default-11-999999-0", "public-1-999999-0"]
            .map(|name| machine.join(format!("{MACHINE}-{name}")));
    for other in &others {
        testbed.farm.create_subvolume(other).unwrap();
    }
    testbed.stdout(&testbed.idle_agent(&["--dump-machines"])).unwrap();
    let swept = testbed.farm.inventory().unwrap();
    for other in &others {
        let name = other.file_name().unwrap().to_str().unwrap();
        let item = format!("subvolume default/{MACHINE}/{name}");
        assert!(swept.of_kind("subvolume").contains(&item.as_str()), "{item}");
    }
    // The kernel has released the machine's lock: its file may stay.
    let mut left = testbed.leftovers(&before).unwrap();
    left.retain(|item| !item.starts_with("lock "));
    assert_eq!(left.len(), others.len(), "{left:?}");
    let mut agent = testbed.start(&[]).unwrap();
    let (verdict, answer) = testbed.result(1).unwrap();
    assert_eq!((verdict, answer.result.status), (Verdict::PutBack, ResultStatus::Interrupt));
    agent.end().unwrap();
}

/// W9: in the steady state an enumeration writes nothing: the volume's generation stays the same.
#[test]
fn enumeration_writes_nothing() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "publish", 1).unwrap();
    agent.wait_for_phase(LIMIT, "enumerate", 1).unwrap();
    agent.end().unwrap();
    let dump = || {
        let spec = testbed.idle_agent(&["--dump-machines"]);
        assert!(testbed.stdout(&spec).unwrap().contains(MACHINE));
    };
    // The first one brings access times up to date.
    dump();
    let before = generation(&testbed);
    dump();
    assert_eq!(generation(&testbed), before, "the volume was written to");
}

/// The volume's generation, after pending writes have been flushed.
fn generation(testbed: &Testbed) -> u64 {
    let namespaces = testbed.farm.namespaces();
    let volume = testbed.farm.volume();
    namespaces.output(namespaces.command("sync").arg("-f").arg(&volume)).unwrap();
    let mut show = namespaces.command("btrfs");
    show.args(["inspect-internal", "dump-super"]).arg(testbed.farm.scratch().join("volume.img"));
    let output = namespaces.output(&mut show).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("generation")).unwrap();
    line.trim().parse().unwrap()
}

/// W16, W10: a failed bootstrap leaves no snapshot behind, and the agent goes on.
#[test]
fn a_failed_bootstrap_leaves_nothing() {
    let testbed = Testbed::new("fresh\nfirst: get toolchain.sha256\nfirst: exit 1\n", &[]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    // The machine rests: the next round does not try it again.
    agent.wait_for_phase(LIMIT, "enumerate", 2).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    assert_eq!(testbed.farm.inventory().unwrap().of_kind("subvolume").len(), 1);
}

/// W40: SIGTERM during a build: the guest ends, the task is answered with `interrupt`, exit code 0.
#[test]
fn a_build_ends_with_sigterm() {
    let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    agent.end().unwrap();
    let (verdict, answer) = testbed.result(1).unwrap();
    assert_eq!((verdict, answer.result.status), (Verdict::PutBack, ResultStatus::Interrupt));
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}

/// W29: a guest that exits without a result is an `abort`, at once.
#[test]
fn a_guest_that_exits_is_an_abort() {
    let script = building(&["get task.manifest", "exit 3"]);
    let testbed = Testbed::new(&script, &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    let (verdict, _) = testbed.result(1).unwrap();
    assert_eq!(verdict, Verdict::Stored(ResultStatus::Abort));
    agent.end().unwrap();
}

/// W21: one attempt per controller and round, also if it fails.
#[test]
fn a_controller_is_asked_once_a_round() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    testbed.controller.wait_for_request().unwrap();
    agent.end().unwrap();
    assert_eq!(testbed.controller.task_requests(), 1);
}

/// W37: a result that cannot be signed is kept in the outbox; the agent reports it, goes on, and
/// asks for no more tasks that must be signed.
#[test]
fn a_result_that_cannot_be_signed_is_kept() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo", "libbar", "libbaz", "libqux"]).unwrap();
    // It knows the key, but signs nothing.
    let script = "#!/bin/sh\ncase \"$1\" in pkeyutl|rsautl) echo no key >&2; exit 1;; esac\n\
        exec openssl \"$@\"\n";
    testbed.farm.install_script("openssl", script).unwrap();
    let spec = testbed.agent(&["--openssl", "/run/openssl"]);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    agent.wait_for_line("no key").unwrap();
    // A second task may have been assigned before the first result was to be signed.
    testbed.wait_until_idle().unwrap();
    let tasks = testbed.controller.tasks();
    assert!(tasks <= 2, "{tasks} tasks were assigned: {:#?}", agent.lines());
    agent.end().unwrap();
    // The next agent can sign, and posts the results in the outbox.
    let mut agent = testbed.start(&[]).unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
}

/// W37: a file that is not a key is refused at the start, with one line that names it.
#[test]
fn a_bad_key_is_refused() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let bad = testbed.farm.scratch().join("bad.pem");
    std::fs::write(&bad, "no key\n").unwrap();
    let mut spec = testbed.agent(&[]);
    let position = spec.arguments.iter().position(|word| word == "--auth-key").unwrap();
    spec.arguments[position + 1] = bad.into();
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(1));
    assert_eq!(agent.count("bad.pem"), 1, "{:?}", agent.lines());
}

/// W42: `--dump-machines` prints the headers of the machines and ends.
#[test]
fn machines_are_dumped() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let spec = testbed.idle_agent(&["--fake-bootstrap", "--dump-machines"]);
    let text = testbed.stdout(&spec).unwrap();
    let expected = format!(": 1\nid: {MACHINE}-1.1\nname: {MACHINE}\nsummary: Machine {MACHINE}\n");
    assert_eq!(text, expected);
}

/// W42: `--dump-task` prints the task that a controller assigns; the task is not performed.
#[test]
fn a_task_is_dumped() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let spec = testbed.agent(&["--fake-bootstrap", "--dump-task"]);
    let text = testbed.stdout(&spec).unwrap();
    assert!(text.contains("name: libfoo\n") && text.contains("version: 1.0.0\n"), "{text}");
}

/// W42: `--fake-request` with `--dump-result` performs a task from a file on a real machine, prints
/// the result and posts nothing.
#[test]
fn a_fake_request_is_done() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let file = testbed.farm.scratch().join("task.manifest");
    std::fs::write(&file, TASK).unwrap();
    let spec = testbed.idle_agent(&["--fake-request", file.to_str().unwrap(), "--dump-result"]);
    let text = testbed.stdout(&spec).unwrap();
    assert!(text.contains("name: libfoo\n") && text.contains("status: success\n"), "{text}");
    assert_eq!(testbed.controller.exchanges().len(), 0);
}

/// W42: `--fake-build` answers with `abort`, without a guest.
#[test]
fn a_fake_build_aborts() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    let spec = testbed.agent(&["--fake-bootstrap", "--fake-build"]);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
    agent.end().unwrap();
    assert_eq!(agent.count_phases("qemu"), 0);
}

/// W42: `--fake-machine` with `--fake-request` needs neither root, nor btrfs, nor QEMU: the
/// result is the file that appears in the folder for uploads.
#[test]
fn a_fake_machine_needs_no_rights() {
    const NOBODY: u32 = 65534;
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let folder = testbed.farm.run().join("fake");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let program = bbot_tests::harness::programs::find("bbot-agent").unwrap();
    let program = testbed.farm.install_program("bbot-agent.program", &program).unwrap();
    let machine = format!(": 1\nid: fake-1\nname: {MACHINE}\nsummary: Fake\n");
    std::fs::write(folder.join("machine"), machine).unwrap();
    std::fs::write(folder.join("request"), TASK).unwrap();
    let namespaces = testbed.farm.namespaces();
    let mut command = namespaces.command(program);
    command.args(["--fake-machine", "/run/fake/machine", "--fake-request", "/run/fake/request"]);
    command.args(["--tftp", "/run/fake/tftp", "--state-dir", "/run/fake/state", "--dump-result"]);
    command.args(["--machines", "/run/fake"]).uid(NOBODY).gid(NOBODY);
    let agent = namespaces.spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped())).unwrap();
    let build = folder.join("tftp/build/default-1");
    let task = build.join("get/task.manifest");
    if wait_for_file(&task, LIMIT).is_err() {
        agent.kill(LIMIT).unwrap();
        panic!("no task: {}", std::io::read_to_string(agent.take_stderr().unwrap()).unwrap());
    }
    let result = ": 1\nname: libfoo\nversion: 1.0.0\nstatus: warning\n";
    let result = lz4_frame(result.as_bytes()).unwrap();
    std::fs::write(build.join("put/part"), result).unwrap();
    std::fs::rename(build.join("put/part"), build.join("put/result.manifest.lz4")).unwrap();
    assert!(agent.wait(LIMIT).unwrap().unwrap().success());
    let text = std::io::read_to_string(agent.take_stdout().unwrap()).unwrap();
    assert!(text.contains("status: warning\n"), "{text}");
}

/// W8, W14: another toolchain id means another bootstrap, with the MAC address of the first; the
/// same id means none.
#[test]
fn a_new_toolchain_means_a_new_bootstrap() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let path = testbed.bootstrapped(MACHINE).join("manifest");
    let bootstrap = |id: &str| {
        let mut agent = testbed.start(&["--toolchain-id", id]).unwrap();
        testbed.wait_until_idle().unwrap();
        agent.end().unwrap();
        let manifest = testbed.farm.namespaces().run(|| std::fs::read(&path)).unwrap().unwrap();
        let machine = BootstrappedMachine::parse(&manifest, "manifest").unwrap();
        (machine.toolchain.id, machine.machine.mac.unwrap(), agent.count_phases("publish"))
    };
    let (first, mac, count) = bootstrap("one");
    assert_eq!((first.as_str(), count), ("one", 1));
    assert_eq!(bootstrap("one"), ("one".to_owned(), mac, 0));
    assert_eq!(bootstrap("two"), ("two".to_owned(), mac, 1));
    let subvolumes = testbed.farm.inventory().unwrap();
    assert_eq!(subvolumes.of_kind("subvolume").len(), 2, "{subvolumes}");
}

/// W10: a machine with a broken manifest is reported once, and the others are used.
#[test]
fn a_bad_machine_does_not_stop_the_others() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo", "libbar"]).unwrap();
    let mut bad = MachineSpec::small("a-bad-machine", "disk");
    bad.manifest = ": 1\nid:\n".to_owned();
    testbed.farm.add_machine(&bad).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    assert_eq!(testbed.result(2).unwrap().0, Verdict::Stored(ResultStatus::Success));
    agent.end().unwrap();
    assert_eq!(agent.count("a-bad-machine"), 1, "{:#?}", agent.lines());
}

/// W22: a task from a local repository is refused, and the refusal is posted.
#[test]
fn a_local_repository_is_refused() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let mut package = Package::new("libfoo", "1.0.0", MACHINE);
    package.repository = Some("/var/lib/packages/1".to_owned());
    testbed.controller.add(package);
    let mut agent = testbed.start(&[]).unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::Stored(ResultStatus::Abort));
    agent.end().unwrap();
    assert_eq!(testbed.controller.task_requests(), 1, "the controller rests");
}

/// W29: a hypervisor that was killed by a signal is not the task's fault: `interrupt`.
#[test]
fn a_killed_hypervisor_is_an_interrupt() {
    let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    testbed.signal_hypervisor("KILL").unwrap();
    assert_eq!(testbed.result(1).unwrap().0, Verdict::PutBack);
    agent.end().unwrap();
}

/// W21, W40: a request is made under the host lock, and SIGTERM ends it.
#[test]
fn a_silent_controller_is_left_on_sigterm() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let address = (layout::BRIDGE_ADDRESS, 0);
    let listener = testbed.farm.namespaces().run(|| TcpListener::bind(address)).unwrap().unwrap();
    let url = format!("http://{}/?build-task", listener.local_addr().unwrap());
    let mut agent =
        Agent::start(&testbed.farm, &testbed.idle_agent(&[]).with_controller(url)).unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    connection.read_exact(&mut [0; 5]).unwrap();
    let lock = std::fs::File::open(testbed.host_lock_file()).unwrap();
    assert!(lock.try_lock().is_err(), "the host lock is free during the request");
    agent.end().unwrap();
    lock.try_lock().unwrap();
}
