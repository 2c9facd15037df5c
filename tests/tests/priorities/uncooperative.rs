//! Lock holders that do not release a machine as an instance does (W35).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::farm::MachineSpec;
use bbot_tests::harness::hypervisor::building;
use bbot_tests::harness::limits::{LIMIT, LOAD};
use bbot_tests::harness::testbed::Testbed;
use rustix::process::Signal;

use super::lock_holder::{IGNORES, LockHolder};
use super::setup::*;

/// A command at SIGUSR1: begins a hold, by removing the priority from the lock file.
const HOLDS: &str = r#"truncate --size ${#$} "$1""#;
/// A command at SIGUSR1: releases the lock, as an instance does at the end of its task.
const RELEASES: &str = r#"rm "$1"; flock --unlock 9"#;
/// A command at SIGUSR1: upgrades the machine, as an operator does.
const UPGRADES: &str = r#"cd "${1%/*}"; ln -s m1-1.2 .link; mv -T .link m1-1"#;
/// A command that runs another one as root without the right to signal other users' processes.
const WITHOUT_KILL: [&str; 2] = ["setpriv", "--bounding-set=-kill"];

/// W35: if the other instance begins a hold, the agent does not wait for it. The new task is
/// answered with `interrupt`, and its controller rests: it is not asked again at once.
#[test]
fn a_hold_interrupts_the_new_task() {
    // One machine is free: the controller could be asked for it.
    let testbed = testbed(&["m1", "m2"]);
    let high = controller(&testbed, &["m1"]);
    let before = testbed.farm.inventory().unwrap();
    let mut held = LockHolder::new(&testbed, "m1", " 90", &format!("{HOLDS}; {IGNORES}"));
    let mut agent = start(&testbed, 1, "2", "0100", &high);
    held.wait_for("signalled");
    assert_quick(&agent);
    assert_interrupted(&high);
    agent.wait_for_line("warning: cannot have m1: m1, which ").unwrap();
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

/// W35, W40: SIGTERM ends the wait for an instance that does not release its lock; the new task is
/// answered.
#[test]
fn sigterm_ends_the_wait_for_others() {
    let testbed = testbed(&["m1"]);
    let mut holder = LockHolder::new(&testbed, "m1", " 0", IGNORES);
    let high = controller(&testbed, &["m1"]);
    let mut agent = start(&testbed, 1, "2", "0100", &high);
    holder.wait_for("signalled");
    testbed.wait_for_status("interrupting").unwrap();
    let start = Instant::now();
    agent.process().signal(Signal::TERM).unwrap();
    assert!(agent.wait(LIMIT).unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(2) + LOAD, "{:?}", start.elapsed());
    assert_interrupted(&high);
}

/// W35, W41: the task record is written before other instances are signalled: an agent that is
/// killed while it waits for them leaves it, and the next one answers the task.
#[test]
fn a_task_is_on_record_before_others_are_signalled() {
    let testbed = testbed(&["m1"]);
    let mut holder = LockHolder::new(&testbed, "m1", " 0", IGNORES);
    let high = controller(&testbed, &["m1"]);
    let mut agent = start(&testbed, 1, "2", "0100", &high);
    holder.wait_for("signalled");
    agent.kill().unwrap();
    let _next = Agent::start(&testbed.farm, &testbed.instance(1, &[], &[("0000", &high)])).unwrap();
    assert_interrupted(&high);
}

/// W35: a lock holder that is killed releases the machine, though its lock file does not change.
#[test]
fn a_killed_holder_releases_the_machine() {
    let testbed = testbed(&["m1"]);
    let mut holder = LockHolder::new(&testbed, "m1", " 0", IGNORES);
    let high = controller(&testbed, &["m1"]);
    let agent = start(&testbed, 1, "2", "0100", &high);
    holder.wait_for("signalled");
    holder.kill();
    agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
    assert!(lock(&testbed, "m1").ends_with(" 100"));
}

/// W35: an instance that has begun a hold, or has released its lock, while the controller was asked
/// is not signalled.
#[test]
fn what_changed_while_a_controller_was_asked_counts() {
    for (change, releases) in [(HOLDS, false), (RELEASES, true)] {
        let testbed = testbed(&["m1"]);
        let lock_holder = LockHolder::new(&testbed, "m1", " 0", &format!("{change}; {IGNORES}"));
        let lock_holder = Arc::new(Mutex::new(lock_holder));
        let high = controller(&testbed, &["m1"]);
        let shared = Arc::clone(&lock_holder);
        let changed = AtomicBool::new(false);
        high.inject_faults(move |request| {
            if request.is_task_request() && !changed.swap(true, Ordering::AcqRel) {
                let mut lock_holder = shared.lock().unwrap();
                lock_holder.interrupt();
                lock_holder.wait_for("signalled");
            }
            None
        });
        let agent = start(&testbed, 1, "2", "0100", &high);
        if releases {
            agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
        } else {
            assert_interrupted(&high);
        }
        high.stop_faults();
        let lock_holder = Arc::into_inner(lock_holder).unwrap().into_inner().unwrap();
        lock_holder.assert_not_signalled();
    }
}

/// W35: an instance that the agent is not permitted to signal causes a warning; the new task is
/// answered with `interrupt`, and its controller rests.
#[test]
fn a_forbidden_signal_interrupts_the_new_task() {
    let testbed = testbed(&["m1"]);
    let holder = LockHolder::unprivileged(&testbed, "m1", " 0");
    let before = lock(&testbed, "m1");
    let pid = before.strip_suffix(" 0").unwrap();
    let high = controller(&testbed, &["m1"]);
    let mut spec = testbed.instance(1, &["--instance-max", "2"], &[("0100", &high)]);
    spec.under = WITHOUT_KILL.map(Into::into).into();
    let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
    assert_interrupted(&high);
    let reason = format!("cannot signal process {pid}: Operation not permitted (os error 1)");
    agent.wait_for_line(&format!("warning: {reason}")).unwrap();
    agent.wait_for_line(&format!("warning: cannot have m1: {reason}")).unwrap();
    wait_until_idle(&testbed, 1);
    assert_eq!(offers(&high), [["m1"]]);
    agent.end().unwrap();
    assert_eq!(lock(&testbed, "m1"), before);
    holder.assert_not_signalled();
}

/// W35: a task whose machine was upgraded during the wait for its lock is answered with
/// `interrupt`, and assigned again for the upgraded machine.
#[test]
fn an_upgrade_during_the_wait_interrupts_the_new_task() {
    let testbed = Testbed::without_machines().unwrap();
    let mut machine = MachineSpec::small("m1", building(SILENT));
    machine.manifest = machine.manifest.replace("-1.1", "-1.2");
    machine.revision = 2;
    testbed.farm.add_machine(&machine).unwrap();
    // The first revision replaces the link, and is the bootstrapped one.
    testbed.add_machine("m1", SILENT).unwrap();
    let at_signal = format!("{UPGRADES}; {RELEASES}; {IGNORES}");
    let mut lock_holder = LockHolder::new(&testbed, "m1", " 0", &at_signal);
    let high = controller(&testbed, &["m1"]);
    let agent = start(&testbed, 1, "2", "0100", &high);
    lock_holder.wait_for("signalled");
    assert_interrupted(&high);
    agent.wait_for_line("warning: cannot have m1: it has changed meanwhile").unwrap();
    high.wait_for_tasks(2, LIMIT).unwrap();
    assert_eq!(offers(&high), [["m1"], ["m1"]]);
    assert_eq!(agent.count_phases("bootstrap"), 1);
    lock_holder.kill();
}
