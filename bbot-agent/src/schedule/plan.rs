//! Which controllers are asked in a round, and what is offered to them. Pure.

use super::priority::Priority;

/// What the plan needs to know of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    /// Machines that are free and bootstrapped.
    pub(crate) free: usize,
    /// Machines locked by other processes: building, bootstrapping or held.
    pub(crate) busy: usize,
    /// The most machines that may be busy at once; 0 = no limit.
    pub(crate) instance_max: u16,
}

impl Host {
    /// Returns whether as many machines are busy as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.instance_max != 0 && self.busy >= usize::from(self.instance_max)
    }
}

/// What to do in this round.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Ask these controllers (indexes) in this order until one has a task.
    Ask(Vec<usize>),
    /// Everything is in use: half an idle pause.
    PauseHalf,
    /// Nobody is to be asked: an idle pause.
    Pause,
}

/// Plans one round of asking.
///
/// W17: from high to low priority; those of equal priority in random order, anew each round
/// (`shuffle` reorders a slice of equals). Controllers that rest are left out.
pub(crate) fn plan(
    host: Host,
    controllers: &[Priority],
    is_resting: impl Fn(usize) -> bool,
    mut shuffle: impl FnMut(&mut [usize]),
) -> Plan {
    if host.is_full() || (host.free == 0 && host.busy > 0) {
        return Plan::PauseHalf;
    }
    if host.free == 0 {
        return Plan::Pause;
    }
    let mut order: Vec<usize> = (0..controllers.len()).filter(|&i| !is_resting(i)).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(controllers[i]));
    for equals in order.chunk_by_mut(|&a, &b| controllers[a] == controllers[b]) {
        shuffle(equals);
    }
    if order.is_empty() { Plan::Pause } else { Plan::Ask(order) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priorities(values: &[u16]) -> Vec<Priority> {
        values.iter().map(|&v| Priority::new(v).unwrap()).collect()
    }

    const FREE: Host = Host { free: 2, busy: 0, instance_max: 0 };

    /// W17: high to low, and only equals are shuffled.
    #[test]
    fn asks_from_high_to_low_and_shuffles_equals() {
        let controllers = priorities(&[0, 100, 0, 9_000, 100]);
        let reversed = plan(FREE, &controllers, |_| false, <[usize]>::reverse);
        assert_eq!(reversed, Plan::Ask(vec![3, 4, 1, 2, 0]));
        let kept = plan(FREE, &controllers, |_| false, |_| {});
        assert_eq!(kept, Plan::Ask(vec![3, 1, 4, 0, 2]));
    }

    /// W21: a URL that failed rests, the others are asked all the same.
    #[test]
    fn leaves_out_who_rests() {
        let controllers = priorities(&[5, 7]);
        assert_eq!(plan(FREE, &controllers, |i| i == 1, |_| {}), Plan::Ask(vec![0]));
        assert_eq!(plan(FREE, &controllers, |_| true, |_| {}), Plan::Pause);
    }

    #[test]
    fn pauses_when_there_is_nothing_to_offer() {
        let controllers = priorities(&[0]);
        let pause = |free, busy, instance_max| {
            plan(Host { free, busy, instance_max }, &controllers, |_| false, |_| {})
        };
        assert_eq!(pause(0, 0, 0), Plan::Pause);
        assert_eq!(pause(0, 1, 0), Plan::PauseHalf);
        assert_eq!(pause(3, 2, 2), Plan::PauseHalf);
        assert_eq!(pause(3, 3, 2), Plan::PauseHalf);
        assert_eq!(pause(3, 1, 2), Plan::Ask(vec![0]));
    }
}
