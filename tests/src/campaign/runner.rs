//! Many runs, one seed each.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::plan::Plan;
use super::run::run;

/// Which runs are performed.
#[derive(Debug, Clone, Copy)]
pub struct CampaignOptions {
    /// How many runs.
    pub runs: u64,
    /// The seed of the first; each further one has the next number.
    pub seed: u64,
    /// How many at the same time.
    pub jobs: usize,
}

/// The summary of a campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs that were performed.
    pub runs: u64,
    /// Kills in them.
    pub crashes: usize,
    /// Tasks that were assigned.
    pub assigned: usize,
    /// Tasks that were answered.
    pub answered: usize,
    /// Of these with `interrupt`.
    pub interrupted: usize,
    /// Artifacts that the controllers accepted.
    pub artifacts: usize,
    /// Tasks that were lost before they were on record.
    pub lost: usize,
    /// Runs with violations.
    pub failed: u64,
    /// The duration.
    pub time: Duration,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.assigned += other.assigned;
        self.answered += other.answered;
        self.interrupted += other.interrupted;
        self.artifacts += other.artifacts;
        self.lost += other.lost;
        self.failed += other.failed;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { runs, crashes, assigned, answered, interrupted, artifacts, lost, .. } = self;
        write!(
            f,
            "{runs} runs, {crashes} crashes: {assigned} tasks assigned, {answered} answered \
             ({interrupted} with interrupt), {artifacts} artifacts uploaded, \
             {lost} lost before they were on record; {} runs with violations; {:.0} s",
            self.failed,
            self.time.as_secs_f64()
        )
    }
}

/// Performs all runs; `report` is called for each one that fails, with all that is known of it.
pub fn campaign(options: CampaignOptions, report: &(dyn Fn(&str) + Sync)) -> Summary {
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Summary::default());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.runs {
                return;
            }
            let summary = run_seed(options.seed.wrapping_add(number), report);
            *sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += summary;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let sum = *sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Summary { time: start.elapsed(), ..sum }
}

/// Performs the run of one seed.
fn run_seed(seed: u64, report: &(dyn Fn(&str) + Sync)) -> Summary {
    let plan = Plan::of(seed);
    match evaluate(&plan) {
        Ok((summary, violations)) => {
            if let Some(violations) = violations {
                report(&failure(seed, &plan, &violations));
            }
            summary
        }
        Err(error) => {
            report(&failure(seed, &plan, &format!("{error:#}")));
            Summary { runs: 1, failed: 1, ..Summary::default() }
        }
    }
}

fn evaluate(plan: &Plan) -> Result<(Summary, Option<String>)> {
    let run = run(plan)?;
    let evaluation = run.history.evaluate();
    let failed = !evaluation.violations.is_empty();
    let violations = || format!("{}\n{}", evaluation.violations.join("\n"), run.log.join("\n"));
    let summary = Summary {
        runs: 1,
        crashes: plan.crashes.len(),
        assigned: run.history.sessions.len(),
        answered: evaluation.answered,
        interrupted: evaluation.interrupted,
        artifacts: evaluation.artifacts,
        lost: evaluation.lost.len(),
        failed: u64::from(failed),
        time: Duration::ZERO,
    };
    Ok((summary, failed.then(violations)))
}

fn failure(seed: u64, plan: &Plan, violations: &str) -> String {
    format!(
        "seed {seed} failed; to repeat it: cargo xtask crash --runs 1 --seed {seed}\n\
         {plan:?}\n{violations}"
    )
}
