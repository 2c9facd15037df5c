//! What the levels A to F of a priority do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bbot_manifest::ResultStatus;
use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::controller::Verdict;
use bbot_tests::harness::farm::MachineSpec;
use bbot_tests::harness::testbed::Testbed;

use super::lock_holder::{IGNORES, LockHolder};
use super::setup::*;

/// W19, W25, W30, W35: level C takes the machine that it needs from a task with a lower C, within a
/// second: the guest ends, the lock is released, the task is answered with `interrupt`.
#[test]
fn c_takes_the_machine_that_it_needs() {
    let testbed = testbed(&["m1"]);
    let (low, high) = (controller(&testbed, &["m1"]), controller(&testbed, &["m1"]));
    let before = testbed.farm.inventory().unwrap();
    let mut victim = start_building(&testbed, 1, "2", "0090", &low);
    let victims_lock = lock(&testbed, "m1");
    let (pid, priority) = victims_lock.split_once(' ').unwrap();
    assert_eq!(priority, "90");
    assert!(pid.parse::<u32>().is_ok(), "{victims_lock:?}");

    let mut agent = start_building(&testbed, 2, "2", "0100", &high);
    assert_quick(&agent);
    assert_interrupted(&low);
    assert_eq!(offers(&high), [["m1"]]);
    let own_lock = lock(&testbed, "m1");
    assert!(own_lock.ends_with(" 100") && !own_lock.starts_with(pid), "{own_lock:?}");
    agent.wait_for_line(&format!("interrupted process {pid} on machine m1")).unwrap();

    for agent in [&mut victim, &mut agent] {
        agent.end().unwrap();
    }
    assert_interrupted(&high);
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}

/// W19, W20: on a full host level C interrupts one task: the one with the lowest priority, of
/// equals the youngest.
#[test]
fn c_interrupts_one_task_on_a_full_host() {
    for (first, second, victim) in [("0000", "0001", 0), ("0000", "0000", 1)] {
        let testbed = testbed(&["m1", "m2", "m3"]);
        let lower = [controller(&testbed, &["m1"]), controller(&testbed, &["m2"])];
        let _first = start_building(&testbed, 1, "2", first, &lower[0]);
        let _second = start_building(&testbed, 2, "2", second, &lower[1]);
        let high = controller(&testbed, &["m3"]);
        let agent = start_building(&testbed, 3, "2", "0100", &high);
        assert_quick(&agent);
        assert_eq!(offers(&high), [["m1", "m2", "m3"]]);
        assert_interrupted(&lower[victim]);
        assert_undisturbed(&lower[1 - victim]);
    }
}

/// W19: level D interrupts every task with a lower D, though the host is not full.
#[test]
fn d_has_the_host_for_itself() {
    let testbed = testbed(&["m1", "m2", "m3", "m4"]);
    let lower = [controller(&testbed, &["m1"]), controller(&testbed, &["m2"])];
    let equal = controller(&testbed, &["m4"]);
    let _agents = [
        start_building(&testbed, 1, "9", "0000", &lower[0]),
        start_building(&testbed, 2, "9", "0900", &lower[1]),
    ];
    let high = controller(&testbed, &["m3"]);
    let agent = start_building(&testbed, 3, "9", "1000", &high);
    assert_quick(&agent);
    lower.iter().for_each(assert_interrupted);
    // An equal D runs at the same time.
    let other = start_building(&testbed, 4, "9", "1001", &equal);
    assert_eq!(other.count_phases("interrupt"), 0);
    assert_undisturbed(&high);
}

/// W19, W20: A and B interrupt no task: without a free machine, or on a full host, their
/// controllers are not asked.
#[test]
fn a_and_b_interrupt_no_task() {
    for (machines, max) in [(&["m1"][..], "2"), (&["m1", "m2"], "1")] {
        let testbed = testbed(machines);
        let (low, high) = (controller(&testbed, &["m1"]), controller(&testbed, machines));
        let _victim = start_building(&testbed, 1, max, "0000", &low);
        let _agent = start(&testbed, 2, max, "0099", &high);
        wait_until_idle(&testbed, 2);
        assert!(offers(&high).is_empty());
        assert_undisturbed(&low);
    }
}

/// W18: while a task runs, controllers with a lower B are not asked, equal ones are.
#[test]
fn b_keeps_lower_b_from_being_asked() {
    let testbed = testbed(&["m1", "m2"]);
    let running = controller(&testbed, &["m1"]);
    let _running = start_building(&testbed, 1, "9", "0010", &running);
    let (low, equal) = (controller(&testbed, &["m2"]), controller(&testbed, &[]));
    let urls = [("0009", &low), ("0011", &equal)];
    let spec = testbed.instance(2, &["--instance-max", "9"], &urls);
    let _agent = Agent::start(&testbed.farm, &spec).unwrap();
    wait_until_idle(&testbed, 2);
    assert!(offers(&low).is_empty());
    assert_eq!(offers(&equal), [["m2"]]);
}

/// W20: machines in a bootstrap or a hold are neither offered nor interrupted, whatever the
/// priority.
#[test]
fn bootstraps_and_holds_are_left_alone() {
    let testbed = testbed(&["m2", "m3"]);
    let bootstrapping = MachineSpec::small("m1", "fresh\nfirst: get toolchain.sha256\n");
    testbed.farm.add_machine(&bootstrapping).unwrap();
    let without_tasks = controller(&testbed, &[]);
    let busy = start_building(&testbed, 1, "9", "0000", &without_tasks);
    let held = LockHolder::new(&testbed, "m2", "", IGNORES);
    let high = controller(&testbed, &["m*"]);
    let _agent = start_building(&testbed, 2, "9", "19000", &high);
    assert_eq!(offers(&high), [["m3"]]);
    // The host is full, and that task is interrupted for a greater C only.
    let other = controller(&testbed, &["m*"]);
    let _spare = start(&testbed, 3, "2", "19099", &other);
    wait_until_idle(&testbed, 3);
    assert!(offers(&other).is_empty());
    held.assert_not_signalled();
    assert_eq!(busy.count_phases("guest-down"), 0);
}

/// W36: an agent warns once of other instances with greater limits, and goes on.
#[test]
fn an_overfull_host_is_a_warning() {
    let testbed = testbed(&["m1", "m2"]);
    let both = controller(&testbed, &["m1", "m2"]);
    let _first = start_building(&testbed, 1, "9", "0000", &both);
    let _second = start_building(&testbed, 2, "9", "0000", &both);
    let without_tasks = controller(&testbed, &[]);
    let mut agent = start(&testbed, 3, "1", "0000", &without_tasks);
    wait_until_idle(&testbed, 3);
    agent.end().unwrap();
    let warning = "warning: 2 machines are busy, --instance-max is 1";
    assert_eq!(agent.lines().iter().filter(|line| *line == warning).count(), 1);
}

/// W20, W26: F gives a task all hardware threads, but only with a limit of instances, and no more
/// memory.
#[test]
fn f_gets_all_hardware_threads() {
    let threads = std::thread::available_parallelism().unwrap();
    for (max, expected) in [("1", threads.to_string()), ("0", "1".to_owned())] {
        let testbed = testbed(&["m1"]);
        let boosted = controller(&testbed, &["m1"]);
        let _agent = start_building(&testbed, 1, max, "11000", &boosted);
        let inventory = testbed.farm.inventory().unwrap();
        let processes = inventory.of_kind("process");
        let hypervisor = processes.iter().find(|line| line.contains("/run/bbot-pretend")).unwrap();
        assert!(hypervisor.contains(&format!(" -m 64M -smp {expected} ")), "{hypervisor}");
    }
}

/// W25: SIGUSR1 for an earlier task does not interrupt a later one.
#[test]
fn a_late_interrupt_has_no_effect() {
    let testbed = Testbed::without_machines().unwrap();
    testbed.add_machine("m1", QUICK).unwrap();
    let controller = controller(&testbed, &["m1"]);
    let (sender, agents) = std::sync::mpsc::channel::<u32>();
    let agents = std::sync::Mutex::new(agents);
    // It is signalled while it asks for the task.
    controller.inject_faults(move |request| {
        if request.is_task_request() {
            let pid = agents.lock().unwrap().recv().ok()?;
            let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).unwrap();
        }
        None
    });
    let agent = start(&testbed, 1, "1", "0000", &controller);
    sender.send(agent.process().pid()).unwrap();
    // It may ask again before its result is posted: then there is no further pid.
    drop(sender);
    let success = ResultStatus::Success;
    assert_eq!(wait_for_result(&controller), (Verdict::Stored(success), success));
}

/// W30: an interrupt takes effect during an upload, not after it.
#[test]
fn an_upload_does_not_delay_an_interrupt() {
    let testbed = Testbed::without_machines().unwrap();
    let upload = ["get task.manifest", "put upload.tar 200000000", "put-result success"];
    testbed.add_machine("m1", &upload).unwrap();
    let (low, high) = (controller(&testbed, &["m1"]), controller(&testbed, &["m1"]));
    let victim = start_building(&testbed, 1, "2", "0000", &low);
    // The guest writes each step to its console before it performs it; the host is locked while a
    // controller is asked.
    let console = testbed.runtime_folder_of(1).join("private/console.log");
    let is_uploading = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_uploading);
    high.inject_faults(move |_| {
        let steps = std::fs::read_to_string(&console).unwrap_or_default();
        seen.fetch_or(steps.contains("upload.tar"), Ordering::AcqRel);
        None
    });
    let agent = start(&testbed, 2, "2", "0100", &high);
    assert_quick(&agent);
    assert!(is_uploading.load(Ordering::Acquire), "the upload had not begun");
    // After the upload, the result would have come next.
    assert_interrupted(&low);
    assert!(victim.phases().iter().all(|phase| phase.name != "build"));
}
