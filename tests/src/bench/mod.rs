//! What the agent itself costs, measured with the real agent on a real volume.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::agent::{Agent, Phase};
use crate::demo;
use crate::farm::{Farm, MachineSpec};
use crate::pretend::WELL;
use crate::scene::{Scene, TOOLCHAIN};

/// Machines on the volume whose enumeration is measured.
const MACHINES: usize = 200;
/// Enumerations, each by an agent of its own.
const ROUNDS: usize = 10;
/// Builds by one agent.
const BUILDS: usize = 20;
/// For all builds together.
const LIMIT: Duration = Duration::from_secs(300);

/// Medians, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Bootstrapped machines on the volume.
    pub machines: usize,
    /// Their enumeration in the steady state.
    pub enumerate_ms: f64,
    /// The original's way: a snapshot and its deletion for each machine, by the `btrfs` program.
    pub snapshot_each_ms: f64,
    /// How many times longer the original's way takes.
    pub ratio: f64,
    /// Builds by one agent.
    pub builds: usize,
    /// From the controller's answer to the hypervisor's exec.
    pub task_to_qemu_exec_ms: f64,
    /// From the result's last byte on disk to the controller's answer to it.
    pub result_durable_to_posted_ms: f64,
}

/// Measures everything.
///
/// # Errors
/// If the farm cannot be made, or the agent does not do what it should.
pub fn measure() -> Result<Figures> {
    let (enumerate_ms, snapshot_each_ms) = measure_enumeration()?;
    let (task_to_qemu_exec_ms, result_durable_to_posted_ms) = measure_builds()?;
    Ok(Figures {
        machines: MACHINES,
        enumerate_ms,
        snapshot_each_ms,
        ratio: snapshot_each_ms / enumerate_ms,
        builds: BUILDS,
        task_to_qemu_exec_ms,
        result_durable_to_posted_ms,
    })
}

fn measure_enumeration() -> Result<(f64, f64)> {
    let scene = Scene::new(WELL, &[])?;
    for number in 1..=MACHINES {
        let machine = MachineSpec::small(&format!("linux_{number:03}-gcc"), "disk");
        scene.farm.add_machine(&machine)?;
        scene.farm.add_bootstrapped(&machine, TOOLCHAIN)?;
    }
    // The machine of the scene is not one of them.
    scene.farm.remove_machine(crate::scene::MACHINE)?;
    let spec = scene.idle_agent(&["--dump-machines"]);
    let mut durations = Vec::new();
    for _ in 0..ROUNDS {
        let mut agent = Agent::start(&scene.farm, &spec)?;
        let status = agent.wait(LIMIT)?;
        ensure!(status.success(), "the agent ended with {status}: {:?}", agent.lines());
        let phase = agent.phases().into_iter().find(|phase| phase.name == "enumerate");
        let phase = phase.context("the agent has not said how long enumeration took")?;
        ensure!(phase.key("machines") == MACHINES.to_string(), "not all machines: {phase:?}");
        durations.push(phase.millis);
    }
    Ok((median(durations), snapshot_each(&scene.farm)?))
}

/// Does to each machine what the original does in each round.
fn snapshot_each(farm: &Farm) -> Result<f64> {
    let script = "for source in */*-1.1; do \
        btrfs -q subvolume snapshot \"$source\" \"$source-x\" && \
        btrfs -q subvolume delete \"$source-x\" || exit 1; done";
    let mut durations = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let mut shell = farm.inside().command("sh");
        shell.args(["-ec", &format!("cd \"$1\"; {script}"), "sh"]).arg(farm.volume());
        let output = farm.inside().output(&mut shell)?;
        durations.push(start.elapsed().as_secs_f64() * 1e3);
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(median(durations))
}

fn measure_builds() -> Result<(f64, f64)> {
    let names: Vec<_> = (1..=BUILDS).map(|number| format!("lib{number:02}")).collect();
    let scene = Scene::new(WELL, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut agent = Agent::start(&scene.farm, &scene.agent(&[]))?;
    agent.wait_for_phase(LIMIT, "posted", BUILDS)?;
    agent.terminate()?;
    let phases: Vec<Phase> = agent.phases();
    let builds = demo::builds(&phases);
    ensure!(builds.len() == BUILDS, "not all builds are complete: {}", builds.len());
    let figures = |value: fn(&demo::Build) -> f64| median(builds.iter().map(value).collect());
    Ok((figures(|build| build.task_to_qemu_exec), figures(|build| build.result_durable_to_posted)))
}

/// The middle value; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

impl Figures {
    /// The figures for people, each with what it must not exceed.
    pub fn table(&self) -> String {
        let Figures { machines, builds, .. } = self;
        format!(
            "enumerate {machines} machines{:>22.2} ms   (limit 50)\n\
             snapshot and delete each{:>24.2} ms   ({:.0} times as long)\n\
             task -> QEMU exec, median of {builds}{:>17.2} ms   (limit 100)\n\
             result durable -> posted, of {builds}{:>17.2} ms   (limit 100)\n",
            self.enumerate_ms,
            self.snapshot_each_ms,
            self.ratio,
            self.task_to_qemu_exec_ms,
            self.result_durable_to_posted_ms,
        )
    }

    /// Writes the figures as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
