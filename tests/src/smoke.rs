//! Smoke tests: what only the real hypervisor and the real guest can show, one line each.

mod scenarios;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bbot_manifest::ResultStatus;

use crate::agent::{Agent, AgentSpec};
use crate::controller::{Controller, ControllerConfig, Exchange, Outcome, Package, Verdict};
use crate::farm::{Disk, Farm, MachineSpec, layout};
use crate::scene::TOOLCHAIN;

/// Far more than a guest takes without hardware virtualization, on a busy host.
const LIMIT: Duration = Duration::from_secs(280);
const MACHINE: &str = "linux_debian_12-tcc_0.9";
/// The machine of the second instance.
const OTHER: &str = "linux_debian_12-tcc_0.9-other";
/// RAM of the machine in KiB.
const RAM: &str = "524288";

/// Runs all smoke tests, or those of these names with what they need; says of each how it went.
///
/// # Errors
/// If one of them fails, or none has such a name.
pub fn smoke(image: &Path, names: &[String]) -> Result<()> {
    let known = |name: &&String| scenarios::ALL.iter().any(|(known, _)| known == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        bail!("no smoke test {name}");
    }
    let mut stage = Stage::set(image)?;
    let mut failed = 0;
    for (number, (name, play)) in scenarios::ALL.iter().enumerate() {
        // The others need the machine that the first two boot and bootstrap.
        if number >= 2 && !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        let outcome = play(&mut stage);
        let seconds = start.elapsed().as_secs_f64();
        let mut out = std::io::stdout();
        match &outcome {
            Ok(()) => writeln!(out, "smoke: {name} ok {seconds:.1} s")?,
            Err(error) => writeln!(out, "smoke: {name} FAILED {seconds:.1} s: {error:#}")?,
        }
        failed += usize::from(outcome.is_err());
        ensure!(outcome.is_ok() || number >= 2, "there is no machine for the other tests");
    }
    drop(stage.first.take());
    stage.farm.end()?;
    ensure!(failed == 0, "{failed} smoke tests failed");
    Ok(())
}

/// A farm with the real machine.
struct Stage {
    /// The agent of the first two tests, as long as it runs.
    first: Option<Agent>,
    toolchain_id: String,
    farm: Farm,
}

impl Stage {
    fn set(image: &Path) -> Result<Stage> {
        let farm = Farm::start()?;
        let manifest = image.join("machine/manifest");
        let manifest = std::fs::read_to_string(&manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        let disk = Disk::File(image.join("machine/disk.img"));
        farm.add_machine(&MachineSpec { name: MACHINE.to_owned(), revision: 1, manifest, disk })?;
        farm.add_toolchain(TOOLCHAIN, &image.join("toolchain"))?;
        Ok(Stage { first: None, toolchain_id: "1".to_owned(), farm })
    }

    /// Starts a controller that wants these packages, each built on a machine.
    fn controller(&self, packages: &[(&str, &str)]) -> Result<Controller> {
        let package = |(name, machine): &(&str, &str)| Package::new(name, "1.0.0", machine);
        let packages = packages.iter().map(package).collect();
        let config = ControllerConfig { packages, ..ControllerConfig::default() };
        Controller::start(self.farm.inside(), layout::BRIDGE_ADDRESS.into(), config)
    }

    /// Starts an instance that serves a controller.
    fn agent(&self, instance: u16, options: &[&str], controller: &Controller) -> Result<Agent> {
        let usual = ["--toolchain-id", &self.toolchain_id, "--ram", RAM];
        let mut spec = AgentSpec::new(usual.iter().chain(options));
        spec.instance = instance;
        spec.arguments.push(controller.url().into());
        Agent::start(&self.farm, &spec)
    }
}

/// Waits for the `count`th verdict on a result.
fn verdict(controller: &Controller, count: usize) -> Result<Verdict> {
    let find = |all: &[Exchange]| {
        let mut verdicts = all.iter().filter_map(|exchange| match &exchange.outcome {
            Outcome::Result { verdict, .. } => Some(verdict.clone()),
            _ => None,
        });
        verdicts.nth(count - 1)
    };
    controller.wait(LIMIT, find).context("no result came")
}

/// Waits for the first result, which must have this status.
fn expect_result(controller: &Controller, status: ResultStatus) -> Result<()> {
    let verdict = verdict(controller, 1)?;
    ensure!(verdict == Verdict::Stored(status), "the result is {verdict:?}");
    Ok(())
}

/// Ends an agent, which must end well.
fn end(mut agent: Agent) -> Result<()> {
    let status = agent.terminate()?;
    ensure!(status.success(), "the agent ended with {status}");
    Ok(())
}
