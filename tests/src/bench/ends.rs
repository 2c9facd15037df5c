//! How long an agent takes to release a machine for another instance, and to end.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::figure::Figure;
use super::statistics::{greatest, millis};
use crate::harness::agent::Agent;
use crate::harness::controller::Fault;
use crate::harness::hypervisor::{SILENT, SUCCESSFUL};
use crate::harness::limits::LIMIT;
use crate::harness::testbed::{MACHINE, Testbed};

/// The number of measurements of each figure, which is the greatest of them.
const ROUNDS: usize = 10;

pub(super) fn measure() -> Result<Vec<Figure>> {
    let greatest_of = |measure: fn() -> Result<Duration>| {
        let all: Vec<_> = (0..ROUNDS).map(|_| measure().map(millis)).collect::<Result<_>>()?;
        anyhow::Ok(greatest(all))
    };
    let what = |what: &str| format!("{what}, greatest of {ROUNDS}");
    Ok(vec![
        Figure::millis("interrupt-to-free", what("SIGUSR1 -> lock free"), interrupt()?)
            .at_most(1000.0),
        Figure::millis("idle-to-exit", what("SIGTERM -> exit, idle"), greatest_of(stop_idle)?)
            .at_most(2000.0),
        Figure::millis(
            "build-to-exit",
            what("SIGTERM -> exit, building"),
            greatest_of(stop_build)?,
        )
        .at_most(2000.0),
        Figure::millis(
            "asking-to-exit",
            "SIGTERM -> exit, controller hangs",
            millis(stop_asking()?),
        )
        .at_most(10_000.0),
    ])
}

/// One agent is interrupted repeatedly: its task is assigned to it again each time.
fn interrupt() -> Result<f64> {
    let testbed = Testbed::new(SILENT, &["libfoo"])?;
    let agent = testbed.start(&[])?;
    let path = testbed.lock_file(MACHINE);
    let mut all = Vec::new();
    for round in 1..=ROUNDS {
        // The first one is that of the bootstrap.
        agent.wait_for_phase(LIMIT, "first-request", 1 + round)?;
        let lock = testbed.farm.namespaces().run(|| File::open(&path))??;
        ensure!(lock.try_lock().is_err(), "the machine is not locked");
        let start = Instant::now();
        agent.process().signal(Signal::USR1)?;
        lock.lock()?;
        all.push(millis(start.elapsed()));
    }
    Ok(greatest(all))
}

/// From SIGTERM to the exit.
fn stop(mut agent: Agent) -> Result<Duration> {
    let start = Instant::now();
    agent.process().signal(Signal::TERM)?;
    let status = agent.wait(LIMIT)?;
    let time = start.elapsed();
    ensure!(status.success(), "the agent ended with {status}: {:?}", agent.lines());
    Ok(time)
}

fn stop_idle() -> Result<Duration> {
    let testbed = Testbed::new(SUCCESSFUL, &[])?;
    let agent = testbed.start(&["--fake-bootstrap"])?;
    testbed.wait_until_idle()?;
    stop(agent)
}

fn stop_build() -> Result<Duration> {
    let testbed = Testbed::new(SILENT, &["libfoo"])?;
    let agent = testbed.start(&[])?;
    agent.wait_for_phase(LIMIT, "first-request", 2)?;
    stop(agent)
}

fn stop_asking() -> Result<Duration> {
    let testbed = Testbed::new(SUCCESSFUL, &[])?;
    testbed.controller.inject_faults(|_| Some(Fault::NoAnswer));
    let agent = testbed.start(&["--fake-bootstrap"])?;
    testbed.controller.wait_for_request()?;
    stop(agent)
}
