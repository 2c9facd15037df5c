//! Which tasks are interrupted for another one (W19). Pure.

use std::cmp::Reverse;

use super::host::{Host, Running, Use};
use super::priority::Priority;

/// Returns the machines whose tasks must be interrupted before a task of priority `p` may use the
/// machine `wanted`, in the order of the interrupts; `None` if the machine is not available.
///
/// Every task of a lesser FD is interrupted. Then, if the host is still full, or if it uses the
/// wanted machine, one of equal FD and lesser C.
pub(crate) fn victims<M: Copy + PartialEq>(
    host: &Host<M>,
    p: Priority,
    wanted: M,
) -> Option<Vec<M>> {
    let mut interruptible: Vec<_> =
        host.tasks().filter(|(_, running)| host.gives_way(*running, p)).collect();
    // The lowest priority first, of equals the youngest: the least work is lost.
    interruptible.sort_by_key(|(_, Running { priority, since, .. })| (*priority, Reverse(*since)));
    let (mut victims, lesser_c): (Vec<_>, Vec<_>) =
        interruptible.into_iter().partition(|(_, running)| running.priority.fd() < p.fd());

    let uses_wanted = |&&(machine, _): &&(M, Running)| machine == wanted;
    let &(_, used) = host.machines.iter().find(|(machine, _)| *machine == wanted)?;
    let is_in_the_way = match used {
        Use::Free => false,
        Use::Task(running) if running.is_fit && host.gives_way(running, p) => true,
        Use::Task(_) | Use::Unfit | Use::Taken => return None,
    };
    if is_in_the_way {
        victims.extend(lesser_c.iter().find(uses_wanted));
    }
    let one_more = victims.iter().all(|(_, running)| running.priority.fd() < p.fd());
    if one_more && host.is_limit(host.busy() - victims.len()) {
        victims.extend(lesser_c.first());
    }
    let has_room = !host.is_full() || !victims.is_empty();
    has_room.then(|| victims.into_iter().map(|(machine, _)| machine).collect())
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::{host, task, task_on_unfit};
    use super::*;

    /// Checks which tasks a task of priority `p` for the machine 0 interrupts.
    #[track_caller]
    fn check(machines: &[Use], instance_max: u16, p: u16, expected: Option<&[usize]>) {
        let victims = victims(&host(machines, instance_max), Priority::new(p).unwrap(), 0);
        assert_eq!(victims.as_deref(), expected);
    }

    /// W19: A and B interrupt no task.
    #[test]
    fn a_and_b_interrupt_no_task() {
        check(&[task(0, 0)], 1, 99, None);
        check(&[Use::Free, task(0, 0)], 1, 99, None);
        check(&[Use::Free, task(0, 0)], 2, 99, Some(&[]));
    }

    /// W19: level C interrupts the task on the wanted machine, whatever else runs.
    #[test]
    fn c_interrupts_the_task_on_the_machine() {
        check(&[task(10, 0), task(0, 0)], 2, 100, Some(&[0]));
        check(&[task(10, 0), task(0, 0)], 9, 100, Some(&[0]));
        check(&[task(100, 0), task(0, 0)], 9, 199, None);
    }

    /// W19: otherwise one task only on a full host: the lowest, of equals the youngest.
    #[test]
    fn c_interrupts_one_on_a_full_host() {
        check(&[Use::Free, task(0, 0)], 2, 100, Some(&[]));
        check(&[Use::Free, task(1, 0), task(0, 0)], 2, 100, Some(&[2]));
        check(&[Use::Free, task(0, 1), task(0, 3), task(0, 2)], 3, 100, Some(&[2]));
        check(&[Use::Free, task(100, 0), task(0, 0)], 2, 100, Some(&[2]));
        check(&[Use::Free, task(100, 0), task(199, 0)], 2, 100, None);
        // Its machine is not wanted: it need not be fit.
        check(&[Use::Free, task_on_unfit(0)], 1, 100, Some(&[1]));
    }

    /// W19: level D interrupts every task of a lesser D, on a full host or not.
    #[test]
    fn d_interrupts_every_lesser_d() {
        check(&[Use::Free, task(1, 0), task(0, 0)], 9, 1_000, Some(&[2, 1]));
        check(&[task(1, 0), task(0, 0)], 2, 1_000, Some(&[1, 0]));
        check(&[task(900, 0), task(999, 0), task(0, 0)], 3, 1_000, Some(&[2, 0, 1]));
    }

    /// W19: F is the greatest digit of FD.
    #[test]
    fn f_is_above_every_d() {
        check(&[Use::Free, task(9_999, 0)], 9, 10_000, Some(&[1]));
        check(&[Use::Free, task(10_000, 0)], 9, 10_099, Some(&[]));
    }

    /// W19: beside the lesser D at most one of the lesser C, and only if it is still needed.
    #[test]
    fn d_and_c_together() {
        let lesser = [Use::Free, task(0, 0), task(1_000, 0), task(1_001, 0)];
        check(&lesser, 3, 1_100, Some(&[1]));
        check(&lesser, 2, 1_100, Some(&[1, 2]));
        check(&[task(1_001, 0), task(1_000, 0), task(0, 0)], 3, 1_100, Some(&[2, 0]));
    }

    /// W19, W20: a bootstrap or a hold is not interrupted.
    #[test]
    fn bootstraps_and_holds_stay() {
        check(&[Use::Taken], 9, 19_999, None);
        check(&[Use::Free, Use::Taken], 1, 19_999, None);
        check(&[Use::Free, Use::Taken, task(0, 0)], 2, 100, Some(&[2]));
    }

    #[test]
    fn unfit_machines_are_not_available() {
        check(&[Use::Unfit], 9, 19_999, None);
        check(&[task_on_unfit(0)], 9, 19_999, None);
        check(&[], 9, 19_999, None);
    }

    /// W20: without a limit no task is interrupted.
    #[test]
    fn without_a_limit_no_task_is_interrupted() {
        check(&[Use::Free, task(0, 0)], 0, 19_999, Some(&[]));
        check(&[task(0, 0)], 0, 19_999, None);
    }

    /// W36: with the limit exceeded, a task that may interrupt one runs in its place.
    #[test]
    fn an_overfull_host_does_not_grow() {
        check(&[Use::Free, Use::Taken, task(0, 0)], 1, 100, Some(&[2]));
        check(&[Use::Free, Use::Taken, task(0, 0)], 1, 1_000, Some(&[2]));
        check(&[Use::Free, task(1, 0), task(0, 0)], 1, 100, Some(&[2]));
        check(&[task(1, 0), task(0, 0)], 1, 100, Some(&[0]));
    }
}
