//! Testbeds, controllers and instances for tests of priorities.

use std::time::Duration;

use bbot_manifest::{Manifest, ResultRequest, ResultStatus, TaskRequest};
use bbot_tests::harness::agent::{Agent, Phase};
use bbot_tests::harness::controller::{Controller, Exchange, Outcome, Package, Verdict};
use bbot_tests::harness::limits::{LIMIT, LOAD};
use bbot_tests::harness::testbed::Testbed;
use bbot_tests::harness::watch::wait_for_status;

/// W35: the time from the signal until the locks of the interrupted instances are released.
const INTERRUPT: Duration = Duration::from_secs(1);
/// The steps of a guest that downloads its task and does nothing more.
pub(super) const SILENT: &[&str] = &["get task.manifest"];
/// The steps of a guest that builds at once.
pub(super) const QUICK: &[&str] = &["get task.manifest", "put-result success"];

/// A host with these machines, whose guests are silent.
pub(super) fn testbed(machines: &[&str]) -> Testbed {
    let testbed = Testbed::without_machines().unwrap();
    for machine in machines {
        testbed.add_machine(machine, SILENT).unwrap();
    }
    testbed
}

/// A controller with a package for each of these machines.
pub(super) fn controller(testbed: &Testbed, machines: &[&str]) -> Controller {
    let controller = testbed.add_controller().unwrap();
    for machine in machines {
        controller.add(Package::new("libfoo", "1.0.0", machine));
    }
    controller
}

/// Starts an instance for one controller.
pub(super) fn start(
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
pub(super) fn start_building(
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
pub(super) fn wait_until_idle(testbed: &Testbed, number: u16) {
    wait_for_status(&testbed.runtime_folder_of(number), "idle", LIMIT).unwrap();
}

/// The machines in each request for a task.
pub(super) fn offers(controller: &Controller) -> Vec<Vec<String>> {
    let exchanges = controller.exchanges();
    let asked = exchanges.iter().filter(|exchange| exchange.request.is_task_request());
    let names = |exchange: &Exchange| {
        let request = TaskRequest::parse(&exchange.request.body, "request").unwrap();
        request.machines.iter().map(|machine| machine.name.to_string()).collect()
    };
    asked.map(names).collect()
}

/// The verdict and status of a posted result.
pub(super) fn status(exchange: &Exchange) -> Option<(Verdict, ResultStatus)> {
    let Outcome::Result { verdict, .. } = &exchange.outcome else { return None };
    let request = ResultRequest::parse(&exchange.request.body, "result").unwrap();
    Some((verdict.clone(), request.result.status))
}

/// Waits for the first result.
pub(super) fn wait_for_result(controller: &Controller) -> (Verdict, ResultStatus) {
    let first = |all: &[Exchange]| all.iter().find_map(status);
    controller.wait(LIMIT, first).expect("no result was posted")
}

/// Waits for the first result, and checks that the task was interrupted.
#[track_caller]
pub(super) fn assert_interrupted(controller: &Controller) {
    assert_eq!(wait_for_result(controller), (Verdict::PutBack, ResultStatus::Interrupt));
}

/// Checks that no result was posted: the task goes on.
#[track_caller]
pub(super) fn assert_undisturbed(controller: &Controller) {
    assert_eq!(controller.exchanges().iter().find_map(status), None);
}

/// Waits until an agent has interrupted others, and checks that they released their locks in time.
#[track_caller]
pub(super) fn assert_quick(agent: &Agent) -> Phase {
    let phase = agent.wait_for_phase(LIMIT, "interrupt", 1).unwrap();
    let limit = INTERRUPT + LOAD;
    assert!(phase.millis < limit.as_secs_f64() * 1e3, "{} ms", phase.millis);
    phase
}

/// The content of the lock file of a machine.
pub(super) fn lock(testbed: &Testbed, machine: &str) -> String {
    let path = testbed.lock_file(machine);
    testbed.farm.namespaces().run(|| std::fs::read_to_string(path)).unwrap().unwrap()
}
