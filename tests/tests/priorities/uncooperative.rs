//! Instances that do not give up their tasks as they should (W35).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::lock_holder::LockHolder;
use super::*;

/// At SIGUSR1 it tells of it, and goes on.
const IGNORES: &str = "echo told";
/// At SIGUSR1 it begins a hold: the lock loses its priority.
const HOLDS: &str = r#"truncate --size ${#$} "$1""#;
/// At SIGUSR1 it lets go, as an instance does whose task ends, and lives on.
const LETS_GO: &str = r#"rm "$1"; flock --unlock 9"#;
/// At SIGUSR1 it upgrades the machine, as an operator does.
const UPGRADES: &str = r#"cd "${1%/*}"; ln -s m1-1.2 .link; mv -T .link m1-1"#;
/// Runs a program as root who must not signal other users' processes.
const WITHOUT_KILL: [&str; 2] = ["setpriv", "--bounding-set=-kill"];

fn says(agent: &Agent, part: &str) {
    let find = |lines: &[String]| lines.iter().any(|line| line.contains(part)).then_some(());
    agent.wait_for(LIMIT, find).unwrap();
}

/// W35: an instance that begins a hold is given up at once. The new task is answered with
/// `interrupt`, and its controller rests: it is not asked again at once.
#[test]
fn a_hold_costs_the_new_task() {
    // One machine is free: the controller would be asked for it.
    let testbed = testbed(&["m1", "m2"]);
    let high = controller(&testbed, &["m1"]);
    let before = testbed.farm.inventory().unwrap();
    let mut held = LockHolder::new(&testbed, "m1", " 90", &format!("{HOLDS}; {IGNORES}"));
    let mut agent = start(&testbed, 1, "2", "0100", &high);
    held.wait_for("told");
    assert_quick(&agent);
    assert_interrupted(&high);
    says(&agent, "warning: cannot have m1: m1, which ");
    wait_until_idle(&testbed, 1);
    assert_eq!(offers(&high), [["m1", "m2"]]);
    assert!(lock(&testbed, "m1").parse::<u32>().is_ok());
    agent.end().unwrap();
    held.kill();
    let left = testbed.leftovers(&before).unwrap();
    assert!(
        left.iter().all(|item| item.starts_with("lock ") || item.contains("sleep")),
        "{left:?}"
    );
}

/// W35, W40: SIGTERM ends the wait for one that does not let go; the new task is answered.
#[test]
fn sigterm_ends_the_wait_for_others() {
    let testbed = testbed(&["m1"]);
    let mut deaf = LockHolder::new(&testbed, "m1", " 0", IGNORES);
    let high = controller(&testbed, &["m1"]);
    let mut agent = start(&testbed, 1, "2", "0100", &high);
    deaf.wait_for("told");
    testbed.wait_for_status("interrupting").unwrap();
    let start = Instant::now();
    agent.process().signal(Signal::TERM).unwrap();
    assert!(agent.wait(LIMIT).unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_interrupted(&high);
}

/// W35, W41: an agent that is killed while it waits has its task on record: the next start answers
/// it.
#[test]
fn a_task_is_on_record_before_others_are_told() {
    let testbed = testbed(&["m1"]);
    let mut deaf = LockHolder::new(&testbed, "m1", " 0", IGNORES);
    let high = controller(&testbed, &["m1"]);
    let mut agent = start(&testbed, 1, "2", "0100", &high);
    deaf.wait_for("told");
    agent.kill().unwrap();
    let _next = Agent::start(&testbed.farm, &testbed.instance(1, &[], &[("0000", &high)])).unwrap();
    assert_interrupted(&high);
}

/// W35: one that dies makes room, though nobody touches its lock file; nobody polls for that.
#[test]
fn a_death_makes_room() {
    let testbed = testbed(&["m1"]);
    let mut deaf = LockHolder::new(&testbed, "m1", " 0", IGNORES);
    let high = controller(&testbed, &["m1"]);
    let agent = start(&testbed, 1, "2", "0100", &high);
    deaf.wait_for("told");
    deaf.kill();
    agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
    assert!(lock(&testbed, "m1").ends_with(" 100"));
}

/// W35: what became of a task while the controller was asked counts: nobody is told who has begun
/// a hold, or has let go, meanwhile.
#[test]
fn what_changed_while_a_controller_was_asked_counts() {
    for (change, lets_go) in [(HOLDS, false), (LETS_GO, true)] {
        let testbed = testbed(&["m1"]);
        let lock_holder = LockHolder::new(&testbed, "m1", " 0", &format!("{change}; {IGNORES}"));
        let lock_holder = Arc::new(Mutex::new(lock_holder));
        let high = controller(&testbed, &["m1"]);
        let shared = Arc::clone(&lock_holder);
        let changed = AtomicBool::new(false);
        high.inject_faults(move |request| {
            if request.is_task_request() && !changed.swap(true, Ordering::AcqRel) {
                let mut lock_holder = shared.lock().unwrap();
                lock_holder.tell();
                lock_holder.wait_for("told");
            }
            None
        });
        let agent = start(&testbed, 1, "2", "0100", &high);
        if lets_go {
            agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
        } else {
            assert_interrupted(&high);
        }
        high.stop_faults();
        let lock_holder = Arc::into_inner(lock_holder).unwrap().into_inner().unwrap();
        lock_holder.assert_untold();
    }
}

/// W35: whoever must not be signalled is warned of and left alone; the new task is answered with
/// `interrupt`, and its controller rests.
#[test]
fn a_forbidden_signal_costs_the_new_task() {
    let testbed = testbed(&["m1"]);
    let stranger = LockHolder::stranger(&testbed, "m1", " 0");
    let before = lock(&testbed, "m1");
    let pid = before.strip_suffix(" 0").unwrap();
    let high = controller(&testbed, &["m1"]);
    let mut spec = testbed.instance(1, &["--instance-max", "2"], &[("0100", &high)]);
    spec.under = WITHOUT_KILL.map(Into::into).into();
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    assert_interrupted(&high);
    let reason = format!("cannot signal process {pid}: Operation not permitted (os error 1)");
    says(&agent, &format!("warning: {reason}"));
    says(&agent, &format!("warning: cannot have m1: {reason}"));
    wait_until_idle(&testbed, 1);
    assert_eq!(offers(&high), [["m1"]]);
    agent.end().unwrap();
    assert_eq!(lock(&testbed, "m1"), before);
    stranger.assert_untold();
}

/// W35: a machine that was upgraded while its holder was waited for is not what the task was given
/// for: it is answered with `interrupt`, and built on what the machine has become.
#[test]
fn an_upgrade_while_others_are_waited_for_costs_the_new_task() {
    let testbed = Testbed::without_machines().unwrap();
    let mut machine = MachineSpec::small("m1", building(SILENT));
    machine.manifest = machine.manifest.replace("-1.1", "-1.2");
    machine.revision = 2;
    testbed.farm.add_machine(&machine).unwrap();
    // The first revision takes over the link, and is the bootstrapped one.
    testbed.add_machine("m1", SILENT).unwrap();
    let at_signal = format!("{UPGRADES}; {LETS_GO}; {IGNORES}");
    let mut lock_holder = LockHolder::new(&testbed, "m1", " 0", &at_signal);
    let high = controller(&testbed, &["m1"]);
    let agent = start(&testbed, 1, "2", "0100", &high);
    lock_holder.wait_for("told");
    assert_interrupted(&high);
    says(&agent, "warning: cannot have m1: it has changed meanwhile");
    let again = |all: &[Exchange]| {
        all.iter().filter(|one| matches!(one.outcome, Outcome::Task { .. })).nth(1).map(|_| ())
    };
    high.wait(LIMIT, again).expect("no second task");
    assert_eq!(offers(&high), [["m1"], ["m1"]]);
    assert_eq!(agent.phases().iter().filter(|phase| phase.name == "bootstrap").count(), 1);
    lock_holder.kill();
}
