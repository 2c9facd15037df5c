//! Several instances on one host, and what priorities do between them: real agents with real locks
//! on a real volume, pretend guests, and several controllers.

mod lock_holder;
mod many_instances;
mod uncooperative;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus, TaskRequest};
use bbot_tests::harness::agent::{Agent, Phase};
use bbot_tests::harness::controller::{Controller, Exchange, Outcome, Package, Verdict};
use bbot_tests::harness::farm::MachineSpec;
use bbot_tests::harness::hypervisor::building;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::Testbed;
use bbot_tests::harness::watch::{wait_for_file, wait_for_status};
use rustix::process::Signal;

/// From the signal to the victims' locks: what users are promised.
const INTERRUPT: Duration = Duration::from_secs(1);
/// A guest that takes its task and is silent then.
const SILENT: &[&str] = &["get task.manifest"];
/// A guest that builds at once.
const QUICK: &[&str] = &["get task.manifest", "put-result success"];

/// A host with these machines, whose guests are silent.
fn testbed(machines: &[&str]) -> Testbed {
    let testbed = Testbed::without_machines().unwrap();
    for machine in machines {
        testbed.add_machine(machine, SILENT).unwrap();
    }
    testbed
}

/// A controller with a package for each of these machines.
fn controller(testbed: &Testbed, machines: &[&str]) -> Controller {
    let controller = testbed.add_controller().unwrap();
    for machine in machines {
        controller.add(Package::new("libfoo", "1.0.0", machine));
    }
    controller
}

/// Starts an instance for one controller.
fn start(
    testbed: &Testbed,
    number: u16,
    max: &str,
    priority: &str,
    controller: &Controller,
) -> Agent {
    let spec = testbed.instance(number, &["--instance-max", max], &[(priority, controller)]);
    Agent::start(&testbed.farm, &spec).unwrap()
}

/// Starts an instance and waits until its guest builds.
fn start_building(
    testbed: &Testbed,
    number: u16,
    max: &str,
    priority: &str,
    controller: &Controller,
) -> Agent {
    let agent = start(testbed, number, max, priority, controller);
    agent.wait_for_phase(LIMIT, "first-request", 1).unwrap();
    agent
}

/// Waits until an instance has nothing to do.
fn wait_until_idle(testbed: &Testbed, number: u16) {
    let folder = testbed.runtime_folder_of(number);
    wait_for_file(&folder.join("status.json"), LIMIT).unwrap();
    wait_for_status(&folder, "idle", LIMIT).unwrap();
}

/// The machines that were offered in each request for a task.
fn offers(controller: &Controller) -> Vec<Vec<String>> {
    let exchanges = controller.exchanges();
    let asked = exchanges.iter().filter(|exchange| exchange.request.is_task_request());
    let names = |exchange: &Exchange| {
        let request = TaskRequest::parse(&exchange.request.body, "request").unwrap();
        request.machines.iter().map(|machine| machine.name.to_string()).collect()
    };
    asked.map(names).collect()
}

fn status(exchange: &Exchange) -> Option<(Verdict, ResultStatus)> {
    let Outcome::Result { verdict, .. } = &exchange.outcome else { return None };
    let request = ResultRequest::parse(&exchange.request.body, "result").unwrap();
    Some((verdict.clone(), request.result.status))
}

/// Waits until the controller was brought a result, and checks that the task was interrupted.
#[track_caller]
fn assert_interrupted(controller: &Controller) {
    let first = |all: &[Exchange]| all.iter().find_map(status);
    let result = controller.wait(LIMIT, first).expect("no result came");
    assert_eq!(result, (Verdict::PutBack, ResultStatus::Interrupt));
}

/// Checks that no result was brought: the task goes on.
#[track_caller]
fn assert_undisturbed(controller: &Controller) {
    assert_eq!(controller.exchanges().iter().find_map(status), None);
}

/// Waits until an agent has interrupted others, and checks that they have let go in time.
#[track_caller]
fn assert_quick(agent: &Agent) -> Phase {
    let phase = agent.wait_for_phase(LIMIT, "interrupt", 1).unwrap();
    assert!(phase.millis < INTERRUPT.as_secs_f64() * 1e3, "{} ms", phase.millis);
    phase
}

/// What the lock file of a machine says.
fn lock(testbed: &Testbed, machine: &str) -> String {
    let path = testbed.lock_file(machine);
    testbed.farm.namespaces().run(|| std::fs::read_to_string(path)).unwrap().unwrap()
}

/// W19, W25, W30, W35: level C takes the machine that it needs from a task of a lesser C, in less
/// than a second: the guest goes, the lock passes on, the task is answered with `interrupt`.
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
    let told = format!("interrupted process {pid} on machine m1");
    assert!(agent.lines().iter().any(|line| line.ends_with(&told)), "{:#?}", agent.lines());

    for agent in [&mut victim, &mut agent] {
        agent.end().unwrap();
    }
    assert_interrupted(&high);
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}

/// W19, W20: on a full host level C interrupts one task: the least important, of equals the
/// youngest.
#[test]
fn c_makes_room_for_itself() {
    for (first, second, victim) in [("0000", "0001", 0), ("0000", "0000", 1)] {
        let testbed = testbed(&["m1", "m2", "m3"]);
        let lesser = [controller(&testbed, &["m1"]), controller(&testbed, &["m2"])];
        let _first = start_building(&testbed, 1, "2", first, &lesser[0]);
        let _second = start_building(&testbed, 2, "2", second, &lesser[1]);
        let high = controller(&testbed, &["m3"]);
        let agent = start_building(&testbed, 3, "2", "0100", &high);
        assert_quick(&agent);
        assert_eq!(offers(&high), [["m1", "m2", "m3"]]);
        assert_interrupted(&lesser[victim]);
        assert_undisturbed(&lesser[1 - victim]);
    }
}

/// W19: level D interrupts every task of a lesser D, though there is room.
#[test]
fn d_has_the_host_for_itself() {
    let testbed = testbed(&["m1", "m2", "m3", "m4"]);
    let lesser = [controller(&testbed, &["m1"]), controller(&testbed, &["m2"])];
    let equal = controller(&testbed, &["m4"]);
    let _agents = [
        start_building(&testbed, 1, "9", "0000", &lesser[0]),
        start_building(&testbed, 2, "9", "0900", &lesser[1]),
    ];
    let high = controller(&testbed, &["m3"]);
    let agent = start_building(&testbed, 3, "9", "1000", &high);
    assert_quick(&agent);
    lesser.iter().for_each(assert_interrupted);
    // An equal D has its place beside it.
    let beside = start_building(&testbed, 4, "9", "1001", &equal);
    assert!(beside.phases().iter().all(|phase| phase.name != "interrupt"));
    assert_undisturbed(&high);
}

/// W19, W20: A and B interrupt nobody: without a free machine, or on a full host, they are not
/// even asked, and wait.
#[test]
fn a_and_b_interrupt_nobody() {
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

/// W18: beside a running task, controllers of a lesser B are not asked, equal ones are.
#[test]
fn b_keeps_lesser_b_from_being_asked() {
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

/// W20: machines that are bootstrapped or held are neither offered nor interrupted, whatever the
/// priority.
#[test]
fn bootstraps_and_holds_are_left_alone() {
    let testbed = testbed(&["m2", "m3"]);
    let bootstrapping = MachineSpec::small("m1", "fresh\nfirst: get toolchain.sha256\n");
    testbed.farm.add_machine(&bootstrapping).unwrap();
    let nobody = controller(&testbed, &[]);
    let busy = start_building(&testbed, 1, "9", "0000", &nobody);
    let held = lock_holder::LockHolder::new(&testbed, "m2", "", "echo told");
    let high = controller(&testbed, &["m*"]);
    let _agent = start_building(&testbed, 2, "9", "19000", &high);
    assert_eq!(offers(&high), [["m3"]]);
    // The host is full, and that task gives way to a greater C only.
    let other = controller(&testbed, &["m*"]);
    let _spare = start(&testbed, 3, "2", "19099", &other);
    wait_until_idle(&testbed, 3);
    assert!(offers(&other).is_empty());
    held.assert_untold();
    assert_eq!(busy.phases().iter().filter(|phase| phase.name == "guest-down").count(), 0);
}

/// W36: that others have greater limits is said once, and is no reason to end.
#[test]
fn an_overfull_host_is_a_warning() {
    let testbed = testbed(&["m1", "m2"]);
    let both = controller(&testbed, &["m1", "m2"]);
    let _first = start_building(&testbed, 1, "9", "0000", &both);
    let _second = start_building(&testbed, 2, "9", "0000", &both);
    let nobody = controller(&testbed, &[]);
    let mut agent = start(&testbed, 3, "1", "0000", &nobody);
    wait_until_idle(&testbed, 3);
    agent.end().unwrap();
    let warning = "warning: 2 machines are busy, --instance-max is 1";
    assert_eq!(agent.lines().iter().filter(|line| *line == warning).count(), 1);
}

/// W20, W26: F gives a task all hardware threads, but only where there is a limit, and no memory.
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

/// W25: SIGUSR1 for an earlier task does not hit a later one.
#[test]
fn a_late_interrupt_is_for_nobody() {
    let testbed = Testbed::without_machines().unwrap();
    testbed.add_machine("m1", QUICK).unwrap();
    let controller = controller(&testbed, &["m1"]);
    let (sender, agents) = std::sync::mpsc::channel::<u32>();
    let agents = std::sync::Mutex::new(agents);
    // It is told while it asks for the task.
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
    // It may ask again before its result comes: nobody waits for a second pid.
    drop(sender);
    let first = |all: &[Exchange]| all.iter().find_map(status);
    let result = controller.wait(LIMIT, first).expect("no result came");
    assert_eq!(result, (Verdict::Stored(ResultStatus::Success), ResultStatus::Success));
}

/// W30: an interrupt is heeded while an upload is under way, not after it.
#[test]
fn an_upload_does_not_delay_an_interrupt() {
    let testbed = Testbed::without_machines().unwrap();
    let upload = ["get task.manifest", "put upload.tar 200000000", "put-result success"];
    testbed.add_machine("m1", &upload).unwrap();
    let (low, high) = (controller(&testbed, &["m1"]), controller(&testbed, &["m1"]));
    let victim = start_building(&testbed, 1, "2", "0000", &low);
    // The guest notes each step on its console before it takes it; the host is locked while a
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
    // Had it ended, the result would have come next.
    assert_interrupted(&low);
    assert!(victim.phases().iter().all(|phase| phase.name != "build"));
}
