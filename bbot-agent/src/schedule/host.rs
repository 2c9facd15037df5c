//! The use of the host's machines, by which controllers and victims are chosen. Pure.

use std::time::Duration;

use super::priority::Priority;

/// The use of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// No process uses it, and it can take a task.
    Free,
    /// No process uses it, and it takes no task: it is to be bootstrapped, its worker is too new
    /// for this agent, or it failed recently.
    Unfit,
    /// Another instance performs a task on it.
    Task(Running),
    /// Another process bootstraps it, holds its guest, or uses it for an unknown purpose.
    Taken,
}

/// A task of another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its priority.
    pub(crate) priority: Priority,
    /// When its machine was locked for it, since the epoch.
    pub(crate) since: Duration,
    /// Whether its machine could take a task of this instance.
    pub(crate) is_fit: bool,
}

/// The machines of the host, and how many may be busy at once; `M` identifies a machine.
#[derive(Debug, Clone)]
pub(crate) struct Host<M> {
    /// The use of each machine.
    pub(crate) machines: Vec<(M, Use)>,
    /// The most machines that may be busy at once; 0: no limit, and priorities only order requests.
    pub(crate) instance_max: u16,
}

impl<M: Copy> Host<M> {
    /// Returns how many machines other processes have locked, for any purpose.
    pub(crate) fn busy(&self) -> usize {
        let is_busy = |(_, used): &&(M, Use)| matches!(used, Use::Task(_) | Use::Taken);
        self.machines.iter().filter(is_busy).count()
    }

    /// Returns whether the limit of busy machines is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.is_limit(self.busy())
    }

    /// Returns whether the limit of busy machines is exceeded: the settings of the instances differ
    /// (W36).
    pub(crate) fn is_overfull(&self) -> bool {
        self.instance_max != 0 && self.busy() > usize::from(self.instance_max)
    }

    /// Returns whether no further machine may become busy beside `busy` ones.
    pub(super) fn is_limit(&self, busy: usize) -> bool {
        self.instance_max != 0 && busy >= usize::from(self.instance_max)
    }

    /// Returns the tasks of other instances, with their machines.
    pub(super) fn tasks(&self) -> impl Iterator<Item = (M, Running)> {
        self.machines.iter().filter_map(|(machine, used)| match used {
            Use::Task(running) => Some((*machine, *running)),
            Use::Free | Use::Unfit | Use::Taken => None,
        })
    }

    /// Returns whether this task may be interrupted for one of priority `p`: only for a greater C,
    /// D or F, and only where a limit makes instances compete (W19, W20).
    pub(super) fn gives_way(&self, running: Running, p: Priority) -> bool {
        self.instance_max != 0 && running.priority.fdc() < p.fdc()
    }

    /// Returns the machines that a controller of priority `p` is offered: those that are free, and
    /// those whose task may be interrupted for it (W20).
    pub(crate) fn offer(&self, p: Priority) -> Vec<M> {
        let offered = |used: &Use| match *used {
            Use::Free => true,
            Use::Task(running) => running.is_fit && self.gives_way(running, p),
            Use::Unfit | Use::Taken => false,
        };
        let machines = self.machines.iter();
        machines.filter(|(_, used)| offered(used)).map(|(machine, _)| *machine).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    /// Returns a task of this priority that began at this number of seconds since the epoch.
    pub(crate) fn task(priority: u16, seconds: u64) -> Use {
        let since = Duration::from_secs(seconds);
        Use::Task(Running { priority: Priority::new(priority).unwrap(), since, is_fit: true })
    }

    /// The same, on a machine that must be bootstrapped.
    pub(crate) fn task_on_unfit(priority: u16) -> Use {
        let Use::Task(running) = task(priority, 0) else { unreachable!() };
        Use::Task(Running { is_fit: false, ..running })
    }

    /// Returns a host whose machines are identified by their indexes.
    pub(crate) fn host(machines: &[Use], instance_max: u16) -> Host<usize> {
        Host { machines: machines.iter().copied().enumerate().collect(), instance_max }
    }

    /// W10, W36: every locked machine counts.
    #[test]
    fn locked_machines_are_busy() {
        let machines = [Use::Free, Use::Unfit, Use::Taken, task(0, 0)];
        let table = [(0, false, false), (1, true, true), (2, true, false), (3, false, false)];
        for (max, full, overfull) in table {
            let host = host(&machines, max);
            assert_eq!((host.busy(), host.is_full(), host.is_overfull()), (2, full, overfull));
        }
    }

    /// W20: free machines, and those whose task has a lesser C, D or F.
    #[test]
    fn offers_free_and_interruptible_machines() {
        let machines = [
            Use::Free,
            Use::Unfit,
            Use::Taken,
            task(199, 0),
            task(200, 0),
            task(9_900, 0),
            task_on_unfit(0),
        ];
        let table: [(u16, &[usize]); 6] = [
            (0, &[0]),
            (199, &[0]),
            (200, &[0, 3]),
            (300, &[0, 3, 4]),
            (9_999, &[0, 3, 4]),
            (10_000, &[0, 3, 4, 5]),
        ];
        for (p, expected) in table {
            let p = Priority::new(p).unwrap();
            assert_eq!(host(&machines, 9).offer(p), expected, "{p}");
            assert_eq!(host(&machines, 0).offer(p), [0], "{p}");
        }
    }
}
