//! How soon an agent lets go: of a machine that another instance wants, and of everything.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Figure, LIMIT, greatest, millis};
use crate::agent::{Agent, wait_for_file, wait_for_status};
use crate::controller::{Exchange, Mischief};
use crate::pretend::WELL;
use crate::scene::{MACHINE, Scene, TOOLCHAIN};

/// How often each is measured; the greatest counts.
const ROUNDS: usize = 10;
/// A guest that bootstraps well and then, in a build, says one thing and is silent.
const SILENT: &str =
    "fresh\nfirst: put-bootstrap 0.16.0\nfirst: install\nlater: get task.manifest\n";

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

/// One agent is interrupted time and again: its task is put back, and given to it again.
fn interrupt() -> Result<f64> {
    let scene = Scene::new(SILENT, &["libfoo"])?;
    let agent = Agent::start(&scene.farm, &scene.agent(&[]))?;
    let path = scene.farm.machine_folder(MACHINE).join(format!("{MACHINE}-{TOOLCHAIN}.lock"));
    let mut all = Vec::new();
    for round in 1..=ROUNDS {
        // The first one is the bootstrap's.
        agent.wait_for_phase(LIMIT, "first-request", 1 + round)?;
        let lock = scene.farm.inside().run(|| File::open(&path))??;
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
    let scene = Scene::new(WELL, &[])?;
    let agent = Agent::start(&scene.farm, &scene.agent(&["--fake-bootstrap"]))?;
    wait_for_file(&scene.runtime_folder().join("status.json"), LIMIT)?;
    wait_for_status(&scene.runtime_folder(), "idle", LIMIT)?;
    stop(agent)
}

fn stop_build() -> Result<Duration> {
    let scene = Scene::new(SILENT, &["libfoo"])?;
    let agent = Agent::start(&scene.farm, &scene.agent(&[]))?;
    agent.wait_for_phase(LIMIT, "first-request", 2)?;
    stop(agent)
}

fn stop_asking() -> Result<Duration> {
    let scene = Scene::new(WELL, &[])?;
    scene.controller.misbehave(|_| Some(Mischief::Silence));
    let agent = Agent::start(&scene.farm, &scene.agent(&["--fake-bootstrap"]))?;
    let asked = |all: &[Exchange]| (!all.is_empty()).then_some(());
    scene.controller.wait(LIMIT, asked).context("nobody asked")?;
    stop(agent)
}
