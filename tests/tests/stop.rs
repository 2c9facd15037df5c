//! How the agent ends: in order, in time, and without leftovers. The real agent, a simulated guest,
//! and everything that may delay the end of an agent.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use bbot_manifest::{Manifest, ResultRequest, ResultStatus};
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::{Exchange, Fault, Outcome, Package, Verdict};
use bbot_tests::harness::hypervisor::{SILENT, SUCCESSFUL};
use bbot_tests::harness::limits::{LIMIT, LOAD};
use bbot_tests::harness::testbed::{MACHINE, Testbed};
use rustix::process::Signal;

/// W40: the time to end in every situation.
const ALWAYS: Duration = Duration::from_secs(10);
/// W40: the time to end without a request in flight.
const QUIET: Duration = Duration::from_secs(2);

/// Sends a signal and waits for the end; returns the exit status and the duration.
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
    assert!(time < limit + LOAD, "{time:?}: {:#?}", agent.lines());
}

/// The verdicts and statuses of posted results, in order.
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

/// Stops the hypervisor of the running guest (SIGSTOP): it answers nothing and does not quit.
fn stop_hypervisor(testbed: &Testbed) {
    testbed.signal_hypervisor("STOP").unwrap();
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

/// W40: the guest of a build is killed, also one whose hypervisor does not answer, and its task is
/// answered with `interrupt`: that is posted before the end, and everything is removed.
#[test]
fn a_building_agent_ends_at_once() {
    for is_stopped in [false, true] {
        let testbed = Testbed::new(SILENT, &["libfoo"]).unwrap();
        let before = testbed.farm.inventory().unwrap();
        let mut agent = testbed.start(&[]).unwrap();
        agent.wait_for_phase(LIMIT, "first-request", 2).unwrap();
        if is_stopped {
            stop_hypervisor(&testbed);
        }
        check_stop(&mut agent, Signal::TERM, QUIET);
        assert_eq!(results(&testbed.controller.exchanges()), [interrupted()]);
        assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
    }
}

/// W40: Ctrl-C is sent to the agent's process group, to which its hypervisor does not belong.
#[test]
fn ctrl_c_does_not_reach_the_hypervisor() {
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
    let groups = ["/bbot-agent ", "/run/bbot-pretend -name "].map(group_of);
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
    stop_hypervisor(&testbed);
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

/// W40: a controller that hangs, before its answer or in the middle of it, does not delay the end.
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

/// W40: results that are due are posted once before the end: a controller that hangs does not get
/// its result, which stays in the outbox. A second SIGTERM ends the agent at once.
#[test]
fn a_posting_agent_ends_in_time() {
    let testbed = Testbed::new(SUCCESSFUL, &["libfoo"]).unwrap();
    testbed.controller.inject_faults(|request| request.is_result().then_some(Fault::NoAnswer));
    let mut agent = testbed.start(&[]).unwrap();
    testbed.controller.wait_for_post(1).unwrap();
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
    assert!(time < QUIET + LOAD, "{time:?}");
    testbed.controller.stop_faults();
    let mut agent = testbed.start(&[]).unwrap();
    testbed.controller.wait_until_done(LIMIT).unwrap();
    check_stop(&mut agent, Signal::TERM, QUIET);
}

/// W40: after SIGHUP the current task is completed and its result posted; no other is asked for.
#[test]
fn a_draining_agent_finishes_its_task() {
    // The upload in lock-step takes longer than the signal.
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
    // It runs guests without a disk, so that the host is fit.
    let program = "#!/bin/sh\ncase \"$*\" in *disk0*) read line <>/run/fifo;; esac\n\
                   exec /run/bbot-pretend \"$@\"\n";
    let fifo = testbed.farm.run().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::set_permissions(&fifo, PermissionsExt::from_mode(0o666)).unwrap();
    testbed.farm.install_script("hang", program).unwrap();
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
        // The kernel has released the machine's lock: its file may stay.
        let left: Vec<_> = left.iter().filter(|item| !item.starts_with("lock ")).collect();
        assert!(left.is_empty(), "{phase}: {left:?}");
    }
}

/// W40: an openssl that hangs at the start neither delays the agent's end, nor outlives it.
#[test]
fn an_openssl_that_hangs_is_killed() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    testbed.farm.install_script("hang", "#!/bin/sh\nsleep 1000\n").unwrap();
    let spec = testbed.agent(&["--openssl", "/run/hang", "--systemd-daemon"]);
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    let mut spawned = false;
    let limit = Instant::now() + LIMIT;
    while !spawned && Instant::now() < limit {
        spawned = runs(&testbed, "sleep 1000");
    }
    assert!(spawned, "no openssl was started");
    check_stop(&mut agent, Signal::TERM, ALWAYS);
    // It is killed with the shell that started it, and may end a moment later.
    let mut is_left = true;
    while is_left && Instant::now() < limit {
        is_left = runs(&testbed, "sleep 1000");
    }
    assert!(!is_left, "openssl outlives the agent");
}
