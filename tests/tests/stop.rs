//! How the agent ends: in order, in time, and with everything put away. The real agent, a pretend
//! guest, and all that may keep an agent from ending.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Controller, Exchange, Fault, Outcome, Package, Verdict};
use bbot_tests::harness::hypervisor::{SILENT, SUCCESSFUL};
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use rustix::process::Signal;

/// W40: whatever is going on.
const ALWAYS: Duration = Duration::from_secs(10);
/// W40: no request in flight.
const QUIET: Duration = Duration::from_secs(2);

/// Sends a signal and waits for the end; how it ended, and how long that took.
fn stop(agent: &mut Agent, signal: Signal) -> (ExitStatus, Duration) {
    let start = Instant::now();
    agent.process().signal(signal).unwrap();
    let status = agent.wait(LIMIT).unwrap();
    (status, start.elapsed())
}

/// Checks that a signal ends the agent with exit code 0 within `limit`.
#[track_caller]
fn check_stop(agent: &mut Agent, signal: Signal, limit: Duration) {
    let (status, time) = stop(agent, signal);
    assert_eq!(status.code(), Some(0), "{:#?}", agent.lines());
    assert!(time < limit, "{time:?}: {:#?}", agent.lines());
}

/// Waits for the first result that was brought, whatever became of it.
fn wait_for_result(controller: &Controller) -> Exchange {
    let find = |all: &[Exchange]| all.iter().find(|one| one.request.is_result()).cloned();
    controller.wait(LIMIT, find).expect("no result came")
}

/// What became of the results among what was said, in order.
fn results(exchanges: &[Exchange]) -> Vec<(Verdict, ResultStatus)> {
    let result = |exchange: &Exchange| {
        let Outcome::Result { verdict, .. } = &exchange.outcome else { return None };
        let request = ResultRequest::parse(&exchange.request.body, "result").unwrap();
        Some((verdict.clone(), request.result.status))
    };
    exchanges.iter().filter_map(result).collect()
}

fn interrupted() -> (Verdict, ResultStatus) {
    (Verdict::PutBack, ResultStatus::Interrupt)
}

/// Stops the hypervisor of the running guest: it answers nothing, not even that it shall end.
fn paralyse_hypervisor(testbed: &Testbed) {
    let inventory = testbed.farm.inventory().unwrap();
    let processes = inventory.of_kind("process");
    let hypervisor = processes.iter().find(|line| line.contains("/run/bbot-pretend")).unwrap();
    let pid = hypervisor.split(' ').nth(1).unwrap();
    let namespaces = testbed.farm.namespaces();
    let kill = namespaces.output(namespaces.command("kill").args(["-STOP", pid])).unwrap();
    assert!(kill.status.success());
}

/// Puts a program into the farm's `/run`.
fn add_program(testbed: &Testbed, name: &str, script: &str) {
    let path = testbed.farm.run().join(name);
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Whether a process runs in the farm whose command line holds `text`.
fn runs(testbed: &Testbed, text: &str) -> bool {
    let inventory = testbed.farm.inventory().unwrap();
    inventory.of_kind("process").iter().any(|line| line.contains(text))
}

/// W40: SIGTERM, SIGINT and SIGHUP cut an idle pause short.
#[test]
fn an_idle_agent_ends_at_once() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut agent = testbed.start(&[]).unwrap();
        testbed.wait_until_idle().unwrap();
        check_stop(&mut agent, signal, QUIET);
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W40: a guest that builds is forced down, also one whose hypervisor does not answer, and its task
/// is answered with `interrupt`: that is posted before the end, and everything is released.
#[test]
fn a_building_agent_ends_at_once() {
    for is_paralysed in [false, true] {
        let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let mut agent = testbed.start(&[]).unwrap();
        agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
        if is_paralysed {
            paralyse_hypervisor(&testbed);
        }
        check_stop(&mut agent, Signal::TERM, QUIET);
        assert_eq!(results(&testbed.controller.exchanges()), [interrupted()]);
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W40: Ctrl-C goes to the agent's process group, in which its hypervisor is not.
#[test]
fn the_terminal_does_not_reach_the_guest() {
    let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    let inventory = testbed.farm.inventory().unwrap();
    let group_of = |program: &str| {
        let processes = inventory.of_kind("process");
        let line = processes.iter().find(|line| line.contains(program)).unwrap();
        let pid = line.split(' ').nth(1).unwrap();
        let mut ps = testbed.farm.namespaces().command("ps");
        let output = testbed.farm.namespaces().output(ps.args(["-o", "pgid=", "-p", pid])).unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let groups = ["/bbot-agent ", "/run/bbot-pretend "].map(group_of);
    assert!(!groups[0].is_empty() && groups[0] != groups[1], "{groups:?}");
    let mut kill = testbed.farm.namespaces().command("kill");
    let kill = kill.args(["-INT", "--", &format!("-{}", groups[0])]);
    assert!(testbed.farm.namespaces().output(kill).unwrap().status.success());
    assert!(agent.wait(LIMIT).unwrap().success());
    assert_eq!(results(&testbed.controller.exchanges()), [interrupted()]);
}

/// W40, W16: a bootstrap ends as well, and leaves nothing.
#[test]
fn a_bootstrapping_agent_ends_at_once() {
    let testbed = Testbed::new("fresh\nfirst: get toolchain.sha256\n", &["libfoo"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
    paralyse_hypervisor(&testbed);
    check_stop(&mut agent, Signal::INT, QUIET);
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    assert_eq!(testbed.farm.inventory().unwrap().of_kind("subvolume").len(), 1);
}

/// W6, W40: the wait for the host lock ends with a signal.
#[test]
fn an_agent_that_waits_for_the_host_ends_at_once() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let lock = File::create(testbed.host_lock_file()).unwrap();
    lock.lock().unwrap();
    for signal in [Signal::TERM, Signal::HUP] {
        let mut agent = testbed.start(&[]).unwrap();
        testbed.wait_for_status("enumerating").unwrap();
        check_stop(&mut agent, signal, QUIET);
    }
}

/// W40: a controller that hangs, before its answer or in the middle of it, holds nobody up.
#[test]
fn an_asking_agent_ends_in_time() {
    for fault in [Fault::NoAnswer, Fault::PartialAnswer] {
        let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
        testbed.controller.inject_faults(move |_| Some(fault.clone()));
        let mut agent = testbed.start(&[]).unwrap();
        testbed.controller.wait_for_request().unwrap();
        check_stop(&mut agent, Signal::TERM, ALWAYS);
        assert_eq!(testbed.controller.exchanges().len(), 1);
    }
}

/// W40: one post of what is due is tried before the end: a controller that hangs does not get its
/// result, which stays in the outbox, but another one does. A second SIGTERM ends it at once.
#[test]
fn a_posting_agent_ends_in_time() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.controller.inject_faults(|request| request.is_result().then_some(Fault::NoAnswer));
    let mut agent = testbed.start(&[]).unwrap();
    wait_for_result(&testbed.controller);
    check_stop(&mut agent, Signal::TERM, ALWAYS);
    let outbox = testbed.state("outbox");
    assert_eq!(std::fs::read_dir(&outbox).unwrap().count(), 1);

    let posts = testbed.controller.exchanges().len();
    let again =
        |all: &[Exchange]| all[posts..].iter().any(|one| one.request.is_result()).then_some(());
    let mut agent = testbed.start(&[]).unwrap();
    testbed.controller.wait(LIMIT, again).expect("the result does not come again");
    agent.process().signal(Signal::TERM).unwrap();
    testbed.wait_for_status("stopping").unwrap();
    let (status, time) = stop(&mut agent, Signal::TERM);
    assert_eq!(status.code(), Some(1));
    assert!(time < QUIET, "{time:?}");
    testbed.controller.stop_faults();
    let mut agent = testbed.start(&[]).unwrap();
    let done = |_: &[Exchange]| testbed.controller.is_done().then_some(());
    testbed.controller.wait(LIMIT, done).expect("the result is lost");
    check_stop(&mut agent, Signal::TERM, QUIET);
}

/// W40: SIGHUP lets the task at hand be finished and posted, and asks for no other one.
#[test]
fn a_draining_agent_finishes_its_task() {
    // An upload in lock-step that takes longer than a signal.
    let script = "fresh\nfirst: put-bootstrap 0.16.0\nfirst: install\nlater: get task.manifest\n\
        later: put upload.tar 30000000\nlater: put-result warning\n";
    let testbed = Testbed::new(script, &["libfoo", "libbar"]).unwrap();
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
    let (status, _) = stop(&mut agent, Signal::HUP);
    assert_eq!(status.code(), Some(0));
    let warning = ResultStatus::Warning;
    assert_eq!(results(&testbed.controller.exchanges()), [(Verdict::Stored(warning), warning)]);
    let exchanges = testbed.controller.exchanges();
    let asked = exchanges.iter().filter(|one| one.request.is_task_request()).count();
    assert_eq!(asked, 1, "it asked again");
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}

/// W40: a hypervisor that does not come up cannot be waited for: the agent ends all the same, and
/// the next start puts right what it had to leave, and answers for the task (W3, W41).
#[test]
fn a_hypervisor_that_hangs_is_left() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let (program, fifo) = ("#!/bin/sh\nread line <>/run/fifo\n", testbed.farm.run().join("fifo"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::set_permissions(&fifo, PermissionsExt::from_mode(0o666)).unwrap();
    add_program(&testbed, "hang", program);
    let before = testbed.farm.inventory().unwrap();
    let mut agent = testbed.start(&[]).unwrap();
    agent.wait_for_phase(LIMIT, "publish", 1).unwrap();
    check_stop(&mut agent, Signal::TERM, QUIET);
    testbed.controller.add(Package::new("libfoo", "1.0.0", MACHINE));
    let mut spec = testbed.agent(&[]);
    let position = spec.arguments.iter().position(|word| word == "--hypervisor").unwrap();
    spec.arguments[position + 1] = "/run/hang".into();
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    agent.wait_for_phase(LIMIT, "network", 1).unwrap();
    check_stop(&mut agent, Signal::TERM, ALWAYS);
    let mut agent = testbed.start(&[]).unwrap();
    let answered = |all: &[Exchange]| results(all).first().cloned();
    let first = testbed.controller.wait(LIMIT, answered);
    assert_eq!(first, Some(interrupted()), "{:#?}", agent.lines());
    check_stop(&mut agent, Signal::TERM, QUIET);
    let left = testbed.leftovers(&before).unwrap();
    // The kernel has freed the machine's lock: its file may stay.
    let left: Vec<_> = left.iter().filter(|item| !item.starts_with("lock ")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// W41, W3: whenever the agent is killed after it took a task, the next start answers for it: with
/// the result if that was durable, else with `interrupt`. No session gets two different answers,
/// and nothing is left.
#[test]
fn a_killed_agent_answers_for_its_task() {
    let moments = ["snapshot", "network", "qemu", "first-request", "guest-down"];
    for (phase, count) in moments.map(|phase| (phase, 2)).into_iter().chain([("durable", 1)]) {
        let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let mut agent = testbed.start(&[]).unwrap();
        agent.wait_for_phase(LIMIT, phase, count).unwrap();
        let (status, _) = stop(&mut agent, Signal::KILL);
        assert_eq!(status.code(), None);
        let mut agent = testbed.start(&[]).unwrap();
        agent.wait_for_phase(LIMIT, "enumerate", 1).unwrap();
        let answered = |all: &[Exchange]| (!results(all).is_empty()).then_some(());
        testbed.controller.wait(LIMIT, answered).expect("the task is lost");
        check_stop(&mut agent, Signal::TERM, QUIET);
        let exchanges = testbed.controller.exchanges();
        let success = ResultStatus::Success;
        let fits =
            |result: &(Verdict, ResultStatus)| *result == interrupted() || result.1 == success;
        assert!(results(&exchanges).iter().all(fits), "{phase}: {:?}", results(&exchanges));
        let mut answers = std::collections::HashMap::new();
        for one in exchanges.iter().filter(|one| one.request.is_result()) {
            let request = ResultRequest::parse(&one.request.body, "result").unwrap();
            let answer = answers.entry(request.session).or_insert(&one.request.body);
            assert_eq!(*answer, &one.request.body, "{phase}: two answers");
        }
        let left = testbed.leftovers(&before).unwrap();
        // The kernel has freed the machine's lock: its file may stay.
        let left: Vec<_> = left.iter().filter(|item| !item.starts_with("lock ")).collect();
        assert!(left.is_empty(), "{phase}: {left:?}");
    }
}

/// W40: an openssl that hangs at the start neither keeps the agent, nor outlives it.
#[test]
fn an_openssl_that_hangs_is_killed() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    add_program(&testbed, "hang", "#!/bin/sh\nsleep 1000\n");
    let spec = testbed.agent(&["--openssl", "/run/hang", "--systemd-daemon"]);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let mut spawned = false;
    let limit = Instant::now() + LIMIT;
    while !spawned && Instant::now() < limit {
        spawned = runs(&testbed, "sleep 1000");
    }
    assert!(spawned, "no openssl was started");
    check_stop(&mut agent, Signal::TERM, ALWAYS);
    // Killed with the shell that started it; it may still be dying.
    let mut is_left = true;
    while is_left && Instant::now() < limit {
        is_left = runs(&testbed, "sleep 1000");
    }
    assert!(!is_left, "openssl outlives the agent");
}
