//! What happens in one run, told by its seed alone.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// A life of the agent has about so many effects: two bootstraps, some builds, their artifacts and
/// reports. It is a prime, so that no step through them meets only some.
const EFFECTS: u64 = 599;
/// The sweep and the first round of a life that has little to do.
const FIRST_EFFECTS: u64 = 60;
/// The longest that an agent is let live if it is killed at an instant.
const LIFE: Duration = Duration::from_secs(4);
/// The most times that the agent is killed in a run.
const CRASHES: u32 = 4;

/// The most artifacts that come with a result.
const ARTIFACTS: usize = 2;

/// When the agent is killed, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before its n-th effect.
    Effect(u64),
    /// After so long.
    After(Duration),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Effect(number) => write!(f, "before effect {number}"),
            Moment::After(time) => write!(f, "after {time:.0?}"),
        }
    }
}

/// What the guest of the second machine does in a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// All as it should.
    Well,
    /// It gives an abnormal result, and is held for a look.
    Abnormal,
    /// It ends without a result.
    Dead,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the second machine is like.
    pub build: Build,
    /// Whether an instance with almost the same name works beside, and is not to be disturbed.
    pub neighbour: bool,
    /// How many packages are wanted.
    pub packages: usize,
    /// How many artifacts come with each good result.
    pub artifacts: usize,
    /// How many posts of artifacts and results the controller answers with 503; it takes one after
    /// each of them.
    pub refusals: u32,
    /// When the agent is killed: one moment for each of its lives but the last.
    pub crashes: Vec<Moment>,
}

impl Plan {
    /// The run of a seed. Consecutive seeds go through the effects of a first life in turn.
    pub fn of(seed: u64) -> Plan {
        let mut random = Rng::with_seed(seed);
        let mut crashes = vec![if seed.is_multiple_of(4) {
            instant(&mut random)
        } else {
            Moment::Effect(1 + in_turn(seed) % EFFECTS)
        }];
        for _ in 1..random.u32(1..=CRASHES) {
            crashes.push(match random.u32(0..3) {
                0 => instant(&mut random),
                1 => Moment::Effect(random.u64(1..=FIRST_EFFECTS)),
                _ => Moment::Effect(random.u64(1..=EFFECTS)),
            });
        }
        Plan {
            packages: random.usize(2..=4),
            refusals: if random.bool() { random.u32(1..=4) } else { 0 },
            crashes,
            build: *random
                .choice(&[Build::Well, Build::Abnormal, Build::Dead])
                .unwrap_or(&Build::Well),
            neighbour: random.u32(0..3) == 0,
            artifacts: random.usize(0..=ARTIFACTS),
        }
    }
}

/// Spreads neighbours out, so that a short campaign does not spend itself on the start.
fn in_turn(seed: u64) -> u64 {
    const STEP: u64 = 149;
    seed.wrapping_mul(STEP)
}

fn instant(random: &mut Rng) -> Moment {
    Moment::After(LIFE.mul_f64(random.f64()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_ne!(Plan::of(7), Plan::of(8));
    }

    /// Every effect has its turn, and every run is a run.
    #[test]
    fn consecutive_seeds_go_through_all_effects() {
        let mut met = BTreeSet::new();
        for seed in 0..4 * EFFECTS {
            let plan = Plan::of(seed);
            assert!((1..=CRASHES as usize).contains(&plan.crashes.len()));
            assert!((2..=4).contains(&plan.packages));
            assert!(plan.artifacts <= ARTIFACTS);
            if let Moment::Effect(number) = plan.crashes[0] {
                met.insert(number);
            }
        }
        assert_eq!(met, (1..=EFFECTS).collect());
    }
}
