//! The requests for a task in a round: to which controllers, with which machines. Pure.

use std::cmp::Reverse;

use super::host::Host;
use super::priority::Priority;

/// A request for a task to send; `C` identifies a controller, `M` a machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlannedRequest<C, M> {
    /// The controller.
    pub(crate) controller: C,
    /// The offered machines, at least one.
    pub(crate) machines: Vec<M>,
}

/// What to do in this round.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan<C, M> {
    /// Send these requests, in this order, until a controller has a task.
    Ask(Vec<PlannedRequest<C, M>>),
    /// The tasks of other instances prevent every request: half an idle pause.
    PauseHalf,
    /// There is no request to send: an idle pause.
    Pause,
}

/// Plans the requests of one round.
///
/// W17: from high to low priority; those of equal priority in random order, anew each round
/// (`shuffle` reorders a slice of equals). Left out are controllers that failed recently
/// (`is_failing`), and those that the tasks of other instances exclude (W18, W20).
pub(crate) fn plan<C: Copy, M: Copy>(
    host: &Host<M>,
    controllers: impl IntoIterator<Item = (C, Priority)>,
    is_failing: impl Fn(C) -> bool,
    mut shuffle: impl FnMut(&mut [(C, Priority)]),
) -> Plan<C, M> {
    let working = controllers.into_iter().filter(|&(controller, _)| !is_failing(controller));
    let mut order: Vec<_> = working.collect();
    order.sort_by_key(|&(_, priority)| Reverse(priority));
    for equals in order.chunk_by_mut(|(_, a), (_, b)| a == b) {
        shuffle(equals);
    }
    let are_all_failing = order.is_empty();
    let requests: Vec<_> = order
        .into_iter()
        .filter(|&(_, priority)| may_ask(host, priority))
        .map(|(controller, priority)| PlannedRequest { controller, machines: host.offer(priority) })
        .filter(|request| !request.machines.is_empty())
        .collect();
    if !requests.is_empty() {
        Plan::Ask(requests)
    } else if are_all_failing || host.busy() == 0 {
        Plan::Pause
    } else {
        Plan::PauseHalf
    }
}

/// Returns whether the running tasks permit a request to a controller of priority `p`.
///
/// W18: not beside a task of a greater B. W20: on a full host only if one can be interrupted.
fn may_ask<M: Copy>(host: &Host<M>, p: Priority) -> bool {
    if host.instance_max == 0 {
        return true;
    }
    let is_below = host.tasks().any(|(_, running)| p.fdcb() < running.priority.fdcb());
    let has_room = !host.is_full() || host.tasks().any(|(_, running)| host.gives_way(running, p));
    has_room && !is_below
}

#[cfg(test)]
mod tests {
    use super::super::host::Use;
    use super::super::host::tests::{host, task, task_on_unfit};
    use super::*;

    /// Plans for controllers of these priorities, which are identified by their indexes.
    fn plan(
        host: &Host<usize>,
        controllers: &[u16],
        is_failing: impl Fn(usize) -> bool,
        shuffle: impl FnMut(&mut [(usize, Priority)]),
    ) -> Plan<usize, usize> {
        let priorities = controllers.iter().map(|&value| Priority::new(value).unwrap());
        super::plan(host, priorities.enumerate(), is_failing, shuffle)
    }

    fn order(plan: &Plan<usize, usize>) -> Vec<usize> {
        let Plan::Ask(requests) = plan else { return Vec::new() };
        requests.iter().map(|request| request.controller).collect()
    }

    /// W17: high to low, and only equals are shuffled.
    #[test]
    fn asks_from_high_to_low_and_shuffles_equals() {
        let host = host(&[Use::Free; 2], 0);
        let controllers = [0, 100, 0, 9_000, 100];
        let reversed = plan(&host, &controllers, |_| false, <[_]>::reverse);
        assert_eq!(order(&reversed), [3, 4, 1, 2, 0]);
        let kept = plan(&host, &controllers, |_| false, |_| {});
        assert_eq!(order(&kept), [3, 1, 4, 0, 2]);
    }

    /// W21: a URL that failed recently is left out, the others are not affected.
    #[test]
    fn leaves_out_controllers_that_failed() {
        let host = host(&[Use::Free], 0);
        let plan = |is_failing: fn(usize) -> bool| plan(&host, &[5, 7], is_failing, |_| {});
        assert_eq!(order(&plan(|i| i == 1)), [0]);
        assert_eq!(plan(|_| true), Plan::Pause);
    }

    /// Checks which controllers (by priority) are sent a request, with which machines.
    #[track_caller]
    fn check(machines: &[Use], instance_max: u16, expected: &[(u16, &[usize])]) {
        let values = [0, 90, 100, 1_000];
        let host = host(machines, instance_max);
        let Plan::Ask(requests) = plan(&host, &values, |_| false, |_| {}) else {
            assert_eq!(expected, []);
            return;
        };
        let requests: Vec<_> =
            requests.iter().map(|q| (values[q.controller], q.machines.as_slice())).collect();
        assert_eq!(requests, expected);
    }

    /// W18: a running task excludes controllers of a lesser B, not of an equal one.
    #[test]
    fn a_task_excludes_lesser_b() {
        let all: &[usize] = &[0];
        let every_controller = [(1_000, all), (100, all), (90, all), (0, all)];
        check(&[Use::Free], 9, &every_controller);
        check(&[Use::Free, Use::Taken], 9, &every_controller);
        let (both, one): (&[usize], &[usize]) = (&[0, 1], &[0]);
        check(&[Use::Free, task(9, 0)], 9, &[(1_000, both), (100, both), (90, one), (0, one)]);
        check(&[Use::Free, task(10, 0)], 9, &[(1_000, both), (100, both), (90, one)]);
        check(&[Use::Free, task(99, 0)], 9, &[(1_000, both), (100, both), (90, one)]);
        check(&[Use::Free, task(110, 0)], 9, &[(1_000, both)]);
        check(&[Use::Free, task(1_010, 0)], 9, &[]);
    }

    /// W20: on a full host a request is sent only for priorities that may interrupt a task.
    #[test]
    fn on_a_full_host_only_interrupting_priorities_are_asked() {
        let (both, one): (&[usize], &[usize]) = (&[0, 1], &[0]);
        check(&[Use::Free, task(0, 0)], 1, &[(1_000, both), (100, both)]);
        check(&[Use::Free, task(100, 0)], 1, &[(1_000, both)]);
        check(&[Use::Free, Use::Taken], 1, &[]);
        check(&[Use::Free, task_on_unfit(0)], 1, &[(1_000, one), (100, one)]);
        check(&[task_on_unfit(0)], 1, &[]);
    }

    /// W20: without a limit nothing of this applies.
    #[test]
    fn without_a_limit_priorities_are_an_order() {
        let all: &[usize] = &[0];
        let machines = [Use::Free, task(9_000, 0), Use::Taken];
        check(&machines, 0, &[(1_000, all), (100, all), (90, all), (0, all)]);
        check(&machines[1..], 0, &[]);
    }

    /// W20: half a pause if the tasks of other instances prevent every request.
    #[test]
    fn pauses_when_there_is_no_request() {
        let pause = |machines: &[Use], max| plan(&host(machines, max), &[0], |_| false, |_| {});
        assert_eq!(pause(&[], 0), Plan::Pause);
        assert_eq!(pause(&[Use::Unfit], 1), Plan::Pause);
        assert_eq!(pause(&[Use::Taken], 0), Plan::PauseHalf);
        assert_eq!(pause(&[Use::Free, Use::Taken], 1), Plan::PauseHalf);
        assert_eq!(pause(&[Use::Free, task(10, 0)], 9), Plan::PauseHalf);
        assert_eq!(order(&pause(&[Use::Free, Use::Taken], 2)), [0]);
    }
}
