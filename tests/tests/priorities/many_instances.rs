//! Many instances at the same time.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use bbot_tests::harness::agent::AgentSpec;

use bbot_manifest::ResultStatus;
use bbot_tests::harness::agent::{Agent, Phase};
use bbot_tests::harness::controller::{Controller, Outcome, Package, Verdict};
use bbot_tests::harness::testbed::Testbed;

use super::setup::*;

/// Agent processes.
const AGENTS: u16 = 8;
/// `--instance-max`.
const MAX: usize = 5;
/// Machines, named m01 and so on.
const MACHINES: usize = 12;
/// A build that takes a moment.
const BRIEF: &[&str] = &["get task.manifest", "put upload.tar 1000000", "put-result success"];
/// The limit of each part of the test; idle instances pause for up to a minute.
const LONG: Duration = Duration::from_secs(240);

/// The time from the start to the end of a guest, by the host's monotonic clock.
#[derive(Debug, Clone)]
struct GuestRun {
    machine: String,
    from: u64,
    to: u64,
}

/// The guests of one agent, in order.
fn guest_runs(phases: &[Phase]) -> Vec<GuestRun> {
    let edges = phases.iter().filter(|phase| ["qemu", "guest-down"].contains(&phase.name.as_str()));
    let edges: Vec<_> = edges.collect();
    let run = |pair: &[&Phase]| {
        assert_eq!((pair[0].name.as_str(), pair[1].name.as_str()), ("qemu", "guest-down"));
        let machine = pair[0].key("machine").to_owned();
        GuestRun { machine, from: pair[0].at, to: pair[1].at }
    };
    assert_eq!(edges.len() % 2, 0, "a guest has not ended");
    edges.chunks(2).map(run).collect()
}

/// The greatest number of guests at the same time.
fn peak(guest_runs: &[GuestRun]) -> usize {
    let at = |time: u64| guest_runs.iter().filter(|run| (run.from..run.to).contains(&time)).count();
    guest_runs.iter().map(|run| at(run.from)).max().unwrap_or_default()
}

/// The results that a controller got, by session.
fn answers(controller: &Controller) -> BTreeMap<String, Vec<(Verdict, ResultStatus)>> {
    let mut answers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for exchange in controller.exchanges() {
        match &exchange.outcome {
            Outcome::Task { session, .. } => {
                answers.entry(session.clone()).or_default();
            }
            Outcome::Result { session, .. } => {
                answers.entry(session.clone()).or_default().extend(status(&exchange));
            }
            _ => {}
        }
    }
    answers
}

/// Adds this many packages, each for one of the machines in turn.
fn add_packages(controller: &Controller, name: &str, count: usize) {
    for number in 1..=count {
        let machine = format!("m{:02}", number % MACHINES + 1);
        controller.add(Package::new(&format!("lib{name}{number}"), "1.0.0", &machine));
    }
}

/// W7, W17 to W20, W35: eight instances share twelve machines and serve three controllers of
/// different levels. No machine ever has two guests, `--instance-max` is kept, each task gets one
/// answer, and nothing is left.
#[test]
fn many_instances_share_the_machines() {
    let testbed = Testbed::without_machines().unwrap();
    for number in 1..=MACHINES {
        testbed.add_machine(&format!("m{number:02}"), BRIEF).unwrap();
    }
    let [low, middle, high] = [(); 3].map(|()| controller(&testbed, &[]));
    let before = testbed.farm.inventory().unwrap();
    let urls = [("0000", &low), ("0100", &middle), ("1000", &high)];
    add_packages(&low, "low", 16);
    let max = MAX.to_string();
    let spec = |number| -> AgentSpec { testbed.instance(number, &["--instance-max", &max], &urls) };
    let mut agents: Vec<_> =
        (1..=AGENTS).map(|number| Agent::start(&testbed.farm, &spec(number)).unwrap()).collect();
    // The packages of greater priority are added when others are being built.
    low.wait_for_tasks(MAX, LONG).unwrap();
    add_packages(&middle, "middle", 8);
    middle.wait_for_tasks(2, LONG).unwrap();
    add_packages(&high, "high", 4);
    for controller in [&high, &middle, &low] {
        controller.wait_until_done(LONG).unwrap();
    }
    thread::scope(|scope| {
        for agent in &mut agents {
            scope.spawn(|| agent.end().unwrap());
        }
    });

    let guest_runs: Vec<Vec<_>> = agents.iter().map(|agent| guest_runs(&agent.phases())).collect();
    let mut guest_runs = guest_runs.concat();
    assert!(peak(&guest_runs) <= MAX, "{} guests at once", peak(&guest_runs));
    guest_runs.sort_by_key(|run| (run.machine.clone(), run.from));
    for pair in guest_runs.windows(2).filter(|pair| pair[0].machine == pair[1].machine) {
        assert!(pair[0].to <= pair[1].from, "two guests on one machine: {pair:?}");
    }
    for (controller, count) in [(&low, 16), (&middle, 8), (&high, 4)] {
        let answers = answers(controller);
        let stored = (Verdict::Stored(ResultStatus::Success), ResultStatus::Success);
        let put_back = (Verdict::PutBack, ResultStatus::Interrupt);
        for (session, answers) in &answers {
            assert!(
                *answers == [stored.clone()] || *answers == [put_back.clone()],
                "{session}: {answers:?}"
            );
        }
        assert_eq!(answers.values().filter(|answers| **answers == [stored.clone()]).count(), count);
    }
    assert_eq!(testbed.leftovers(&before).unwrap(), [""; 0]);
}
