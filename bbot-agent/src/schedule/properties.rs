//! Properties of requests and interrupts on every host (W17 to W20).

use std::cmp::Reverse;
use std::time::Duration;

use proptest::prelude::*;

use super::host::{Host, Running, Use};
use super::plan::{Plan, plan};
use super::priority::Priority;
use super::victims::victims;

/// Digits of few values, so that equal, lesser and greater ones occur; most of equal F and D.
fn priority() -> impl Strategy<Value = Priority> {
    let f = prop_oneof![7 => Just(0_u16), 1 => Just(1)];
    let d = prop_oneof![3 => Just(0_u16), 1 => 1..3_u16];
    (f, d, 0..3_u16, 0..3_u16, 0..2_u16)
        .prop_map(|(f, d, c, b, a)| f * 10_000 + d * 1_000 + c * 100 + b * 10 + a)
        .prop_filter_map("a priority", Priority::new)
}

fn machine() -> impl Strategy<Value = Use> {
    let since = (0..4_u64).prop_map(Duration::from_secs);
    let running = (priority(), since, any::<bool>())
        .prop_map(|(priority, since, is_fit)| Running { priority, since, is_fit });
    prop_oneof![
        2 => Just(Use::Free),
        1 => Just(Use::Unfit),
        4 => running.prop_map(Use::Task),
        1 => Just(Use::Taken),
    ]
}

fn host() -> impl Strategy<Value = Host<usize>> {
    (prop::collection::vec(machine(), 0..7), 0..6_u16).prop_map(|(machines, instance_max)| Host {
        machines: machines.into_iter().enumerate().collect(),
        instance_max,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The requests and their order: an offered machine is available, and no request is sent below
    /// a running task's B.
    #[test]
    fn of_requests(host in host(), controllers in prop::collection::vec(priority(), 0..8)) {
        let running: Vec<_> = host.tasks().map(|(_, task)| task.priority).collect();
        let identified = controllers.iter().copied().enumerate();
        let Plan::Ask(requests) = plan(&host, identified, |i| i == 5, |_| {}) else {
            // None is missed: on a host where all machines are free, there is a request.
            let has_free = host.machines.iter().any(|&(_, used)| used == Use::Free);
            let all_free = host.busy() == 0 && has_free;
            prop_assert!(!all_free || controllers.is_empty());
            return Ok(());
        };
        let asked: Vec<_> = requests.iter().map(|q| controllers[q.controller]).collect();
        prop_assert!(asked.is_sorted_by(|a, b| a >= b), "W17: from high to low");
        for request in &requests {
            let p = controllers[request.controller];
            prop_assert!(request.controller != 5, "a controller that failed");
            prop_assert!(!request.machines.is_empty(), "a request without an offer");
            let limited = host.instance_max != 0;
            prop_assert!(!limited || running.iter().all(|q| p.fdcb() >= q.fdcb()), "W18");
            for &machine in &request.machines {
                prop_assert!(victims(&host, p, machine).is_some(), "offered, but not available");
            }
        }
    }

    /// The interrupts for a task.
    #[test]
    fn of_interrupts(host in host(), p in priority(), wanted in 0..7_usize) {
        let Some(victims) = victims(&host, p, wanted) else {
            return Ok(());
        };
        let mut lesser_c = 0;
        for (count, &victim) in victims.iter().enumerate() {
            let (_, Use::Task(task)) = host.machines[victim] else {
                return Err(TestCaseError::fail("no task is interrupted"));
            };
            prop_assert!(!victims[..count].contains(&victim), "interrupted twice");
            prop_assert!(task.priority.fdc() < p.fdc(), "for an equal or lesser level");
            lesser_c += usize::from(task.priority.fd() == p.fd());
        }
        prop_assert!(lesser_c <= 1, "more than one though FD is not greater");
        prop_assert!(host.instance_max != 0 || victims.is_empty(), "without a limit");
        match host.machines[wanted].1 {
            Use::Free => {}
            Use::Task(task) => prop_assert!(task.is_fit && victims.contains(&wanted)),
            Use::Unfit | Use::Taken => prop_assert!(false, "a machine that cannot be had"),
        }
        let max = usize::from(host.instance_max).max(host.busy());
        let then = host.busy() - victims.len() + 1;
        prop_assert!(host.instance_max == 0 || then <= max, "more are busy than may be");
        for (index, task) in host.tasks().filter(|_| host.instance_max != 0) {
            let is_left = !victims.contains(&index);
            prop_assert!(!is_left || task.priority.fd() >= p.fd(), "a lesser D goes on");
        }
        // The one of equal FD is interrupted for a reason, and the one of the lowest priority.
        if lesser_c == 1 && !victims.contains(&wanted) {
            let equal_d = host.tasks().filter(|(_, task)| task.priority.fd() == p.fd());
            let victim = |index: &usize| victims.contains(index);
            let (told, left): (Vec<_>, Vec<_>) = equal_d.partition(|(index, _)| victim(index));
            let importance = |running: Running| (running.priority, Reverse(running.since));
            let most = told.iter().map(|(_, running)| importance(*running)).max();
            prop_assert!(left.iter().all(|(_, running)| Some(importance(*running)) >= most));
            let others = victims.len() - 1;
            prop_assert!(host.busy() - others >= usize::from(host.instance_max), "needlessly");
        }
    }
}
