//! Waits until the record of a task and its answer are sure to find room (W48, W49).

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::agent::Agent;
use crate::diag;

/// The pause after the first failed attempt; doubled by each further one.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause: an instance works again within five seconds.
const LONGEST: Duration = Duration::from_secs(4);

/// Stores what an earlier process, or an earlier round, could not store, and makes room for the
/// next task. Waits until that succeeds; returns false if the agent is to stop.
///
/// # Errors
///
/// If it fails in an instance that does not wait.
pub(crate) fn wait(agent: &mut Agent, is_recovered: &mut bool) -> anyhow::Result<bool> {
    let start = Instant::now();
    let mut failures = 0;
    while let Err(error) = attempt(agent, is_recovered) {
        let config = &agent.config;
        if config.dump_machines || config.dump_task || config.dump_result {
            return Err(error);
        }
        if failures == 0 {
            // The service manager waits for the end of the start.
            agent.status.ready();
            diag::error(format_args!("blocked, no task is requested: {error:#}"));
        }
        failures += 1;
        let end = Instant::now() + pause(failures, fastrand::f64());
        while !agent.events.signals().is_stopping() && agent.events.next(end).is_some() {}
        if agent.events.signals().is_stopping() {
            return Ok(false);
        }
    }
    if failures > 0 {
        let lasted = start.elapsed();
        diag::info(format_args!("results can be stored again: blocked for {lasted:.1?}"));
    }
    Ok(true)
}

fn attempt(agent: &mut Agent, is_recovered: &mut bool) -> anyhow::Result<()> {
    let Some(reports) = &agent.events.reports else { return Ok(()) };
    let outbox = &*reports.outbox;
    outbox.make_ready()?;
    if !*is_recovered {
        if outbox.recover_record().context("cannot recover the task at hand")? {
            diag::info("a task that was at hand is answered with interrupt");
        }
        *is_recovered = true;
    }
    while let Some(unstored) = agent.unstored.last_mut() {
        unstored.store(outbox)?;
        agent.unstored.pop();
    }
    Ok(outbox.make_room()?)
}

/// The pause after this many failed attempts; `jitter` is in [0, 1).
fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST).mul_f64(0.9 + 0.2 * jitter)
}
