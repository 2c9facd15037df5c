//! Many runs, one seed each.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::plan::Plan;
use super::run;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct CampaignOptions {
    /// How many runs.
    pub runs: u64,
    /// The seed of the first; each further one has the next number.
    pub seed: u64,
    /// How many at a time.
    pub jobs: usize,
}

/// What a campaign has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs that were played.
    pub runs: u64,
    /// Kills in them.
    pub crashes: usize,
    /// Tasks that were handed out.
    pub handed: usize,
    /// Tasks that were answered.
    pub answered: usize,
    /// Of these with `interrupt`.
    pub interrupted: usize,
    /// Artifacts that the controllers got.
    pub artifacts: usize,
    /// Tasks that were lost before they were on record.
    pub lost: usize,
    /// Runs in which something was not as it must be.
    pub failed: u64,
    /// How long it took.
    pub time: Duration,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.handed += other.handed;
        self.answered += other.answered;
        self.interrupted += other.interrupted;
        self.artifacts += other.artifacts;
        self.lost += other.lost;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { runs, crashes, handed, answered, interrupted, artifacts, lost, .. } = self;
        write!(
            f,
            "{runs} runs, {crashes} crashes: {handed} tasks handed out, {answered} answered \
             ({interrupted} with interrupt), {artifacts} artifacts brought, \
             {lost} lost before they were on record; {} runs with violations; {:.0} s",
            self.failed,
            self.time.as_secs_f64()
        )
    }
}

/// Plays all runs; `tell` hears of each one that failed, with everything that is known of it.
pub fn campaign(options: CampaignOptions, tell: &(dyn Fn(&str) + Sync)) -> Tally {
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Tally::default());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.runs {
                return;
            }
            let tally = judge(options.seed.wrapping_add(number), tell);
            *sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += tally;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let sum = *sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Tally { time: start.elapsed(), ..sum }
}

/// Plays the run of one seed.
fn judge(seed: u64, tell: &(dyn Fn(&str) + Sync)) -> Tally {
    let plan = Plan::of(seed);
    match tally(&plan) {
        Ok((tally, complaint)) => {
            if let Some(complaint) = complaint {
                tell(&failure(seed, &plan, &complaint));
            }
            tally
        }
        Err(error) => {
            tell(&failure(seed, &plan, &format!("{error:#}")));
            Tally { runs: 1, failed: 1, ..Tally::default() }
        }
    }
}

fn tally(plan: &Plan) -> Result<(Tally, Option<String>)> {
    let run = run::play(plan)?;
    let judgement = run.history.judge();
    let failed = !judgement.violations.is_empty();
    let complaint = || format!("{}\n{}", judgement.violations.join("\n"), run.story.join("\n"));
    let tally = Tally {
        runs: 1,
        crashes: plan.crashes.len(),
        handed: run.history.handed.len(),
        answered: judgement.answered,
        interrupted: judgement.interrupted,
        artifacts: judgement.artifacts,
        lost: judgement.lost.len(),
        failed: u64::from(failed),
        time: Duration::ZERO,
    };
    Ok((tally, failed.then(complaint)))
}

fn failure(seed: u64, plan: &Plan, complaint: &str) -> String {
    format!(
        "seed {seed} failed; again by: cargo xtask crash --runs 1 --seed {seed}\n\
         {plan:?}\n{complaint}"
    )
}
