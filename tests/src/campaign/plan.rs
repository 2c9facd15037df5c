//! What happens in one run, determined by its seed alone.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// About how many effects an agent has: two bootstraps, some builds, their artifacts and reports.
/// A prime number, so that every step width meets all of them.
const EFFECTS: u64 = 599;
/// About how many effects an agent with little to do has in its recovery and its first round.
const FIRST_EFFECTS: u64 = 60;
/// The longest time until an agent is killed, if it is killed at an instant.
const INSTANT_MAX: Duration = Duration::from_secs(4);
/// The most times that the agent is killed in a run.
const CRASHES: u32 = 4;

/// The most artifacts that come with a result.
const ARTIFACTS: usize = 2;

/// When the agent is killed, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillPoint {
    /// Before its n-th effect.
    Effect(u64),
    /// After this time.
    After(Duration),
}

impl fmt::Display for KillPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KillPoint::Effect(number) => write!(f, "before effect {number}"),
            KillPoint::After(time) => write!(f, "after {time:.0?}"),
        }
    }
}

/// What the guest of the second machine does in a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// It gives a successful result.
    Success,
    /// It gives an abnormal result, and is held.
    Abnormal,
    /// It exits without a result.
    Exit,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the guest of the second machine does.
    pub build: Build,
    /// Whether an instance with almost the same name runs on the same host.
    pub other_instance: bool,
    /// How many packages are to be built.
    pub packages: usize,
    /// How many artifacts each successful result has.
    pub artifacts: usize,
    /// How many uploads and posts the controller answers with 503; after each of them it accepts
    /// one.
    pub refusals: u32,
    /// When the agent is killed: one point for each of its processes but the last.
    pub crashes: Vec<KillPoint>,
}

impl Plan {
    /// The run of a seed. Consecutive seeds go through the effects of the first agent in turn.
    pub fn of(seed: u64) -> Plan {
        let mut random = Rng::with_seed(seed);
        let mut crashes = vec![if seed.is_multiple_of(4) {
            instant(&mut random)
        } else {
            KillPoint::Effect(1 + in_turn(seed) % EFFECTS)
        }];
        for _ in 1..random.u32(1..=CRASHES) {
            crashes.push(match random.u32(0..3) {
                0 => instant(&mut random),
                1 => KillPoint::Effect(random.u64(1..=FIRST_EFFECTS)),
                _ => KillPoint::Effect(random.u64(1..=EFFECTS)),
            });
        }
        Plan {
            packages: random.usize(2..=4),
            refusals: if random.bool() { random.u32(1..=4) } else { 0 },
            crashes,
            build: *random
                .choice(&[Build::Success, Build::Abnormal, Build::Exit])
                .unwrap_or(&Build::Success),
            other_instance: random.u32(0..3) == 0,
            artifacts: random.usize(0..=ARTIFACTS),
        }
    }
}

/// Spreads consecutive seeds over all effects, so that a short campaign reaches late ones too.
fn in_turn(seed: u64) -> u64 {
    const STEP: u64 = 149;
    seed.wrapping_mul(STEP)
}

fn instant(random: &mut Rng) -> KillPoint {
    KillPoint::After(INSTANT_MAX.mul_f64(random.f64()))
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

    /// Every effect is met, and every plan is within its limits.
    #[test]
    fn consecutive_seeds_go_through_all_effects() {
        let mut met = BTreeSet::new();
        for seed in 0..4 * EFFECTS {
            let plan = Plan::of(seed);
            assert!((1..=CRASHES as usize).contains(&plan.crashes.len()));
            assert!((2..=4).contains(&plan.packages));
            assert!(plan.artifacts <= ARTIFACTS);
            if let KillPoint::Effect(number) = plan.crashes[0] {
                met.insert(number);
            }
        }
        assert_eq!(met, (1..=EFFECTS).collect());
    }
}
