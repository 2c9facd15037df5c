//! Many instances at once.

use std::collections::BTreeMap;
use std::thread;

use bbot_tests::harness::agent::AgentSpec;

use super::*;

/// Agent processes.
const AGENTS: u16 = 8;
/// How many of them may be busy.
const MAX: usize = 5;
/// Machines, named m01 and so on.
const MACHINES: usize = 12;
/// A build that takes a moment.
const BRIEF: &[&str] = &["get task.manifest", "put upload.tar 1000000", "put-result success"];
/// For all the work together; instances that find nothing to do pause for up to a minute.
const LONG: Duration = Duration::from_secs(240);

/// A guest, from its start to its end, by the one clock of the host.
#[derive(Debug, Clone)]
struct Stay {
    machine: String,
    from: u64,
    to: u64,
}

/// The guests of one agent, in order.
fn stays(phases: &[Phase]) -> Vec<Stay> {
    let edges = phases.iter().filter(|phase| ["qemu", "guest-down"].contains(&phase.name.as_str()));
    let edges: Vec<_> = edges.collect();
    let stay = |pair: &[&Phase]| {
        assert_eq!((pair[0].name.as_str(), pair[1].name.as_str()), ("qemu", "guest-down"));
        let machine = pair[0].key("machine").to_owned();
        Stay { machine, from: pair[0].at, to: pair[1].at }
    };
    assert_eq!(edges.len() % 2, 0, "a guest has not ended");
    edges.chunks(2).map(stay).collect()
}

/// The most guests at any one time.
fn peak(stays: &[Stay]) -> usize {
    let at = |time: u64| stays.iter().filter(|stay| (stay.from..stay.to).contains(&time)).count();
    stays.iter().map(|stay| at(stay.from)).max().unwrap_or_default()
}

/// What the controller got for each session that it began.
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

/// Wants as many packages as that, each on one of the machines in turn.
fn want(controller: &Controller, name: &str, count: usize) {
    for number in 1..=count {
        let machine = format!("m{:02}", number % MACHINES + 1);
        controller.add(Package::new(&format!("lib{name}{number}"), "1.0.0", &machine));
    }
}

fn wait_until_done(controller: &Controller) {
    let done = |_: &[Exchange]| controller.is_done().then_some(());
    controller.wait(LONG, done).expect("not all is built");
}

/// W7, W17 to W20, W35: eight instances share twelve machines and serve three controllers of
/// different levels. No machine ever has two guests, no more guests run than may, each task gets
/// one answer, and nothing is left.
#[test]
fn many_instances_share_the_machines() {
    let testbed = Testbed::without_machines().unwrap();
    for number in 1..=MACHINES {
        testbed.add_machine(&format!("m{number:02}"), BRIEF).unwrap();
    }
    let [low, middle, high] = [(); 3].map(|()| controller(&testbed, &[]));
    let before = testbed.farm.inventory().unwrap();
    let urls = [("0000", &low), ("0100", &middle), ("1000", &high)];
    want(&low, "low", 16);
    let max = MAX.to_string();
    let spec = |number| -> AgentSpec { testbed.instance(number, &["--instance-max", &max], &urls) };
    let mut agents: Vec<_> =
        (1..=AGENTS).map(|number| Agent::start(&testbed.farm, &spec(number)).unwrap()).collect();
    // The others come when work is under way.
    let begun = |count| {
        move |all: &[Exchange]| {
            let tasks = all.iter().filter(|one| matches!(one.outcome, Outcome::Task { .. }));
            (tasks.count() >= count).then_some(())
        }
    };
    low.wait(LONG, begun(MAX)).unwrap();
    want(&middle, "middle", 8);
    middle.wait(LONG, begun(2)).unwrap();
    want(&high, "high", 4);
    [&high, &middle, &low].into_iter().for_each(wait_until_done);
    thread::scope(|scope| {
        for agent in &mut agents {
            scope.spawn(|| assert!(agent.terminate().unwrap().success()));
        }
    });

    let stays: Vec<Vec<_>> = agents.iter().map(|agent| stays(&agent.phases())).collect();
    let mut stays = stays.concat();
    assert!(peak(&stays) <= MAX, "{} guests at once", peak(&stays));
    stays.sort_by_key(|stay| (stay.machine.clone(), stay.from));
    for pair in stays.windows(2).filter(|pair| pair[0].machine == pair[1].machine) {
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
