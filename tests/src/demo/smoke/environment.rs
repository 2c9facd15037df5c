//! The farm of the smoke tests.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::demo::real_machine::{self, RAM};
use crate::harness::agent::{Agent, AgentSpec};
use crate::harness::controller::{Controller, ControllerConfig, Package};
use crate::harness::farm::{Farm, layout};

/// Far more than a guest takes without hardware virtualization, on a loaded host.
pub(super) const LIMIT: Duration = Duration::from_secs(280);

/// A farm with the real machine.
pub(super) struct Environment {
    /// The agent of the first two tests, while it runs.
    pub(super) first: Option<Agent>,
    toolchain_id: String,
    pub(super) farm: Farm,
}

impl Environment {
    /// Makes a farm with the machine in the folder `image`.
    pub(super) fn new(image: &Path) -> Result<Environment> {
        let farm = Farm::start()?;
        let toolchain_id = real_machine::install(&farm, image)?;
        Ok(Environment { first: None, toolchain_id, farm })
    }

    /// Starts a controller that has these packages to build, each on a machine.
    pub(super) fn controller(&self, packages: &[(&str, &str)]) -> Result<Controller> {
        let package = |(name, machine): &(&str, &str)| Package::new(name, "1.0.0", machine);
        let packages = packages.iter().map(package).collect();
        let config = ControllerConfig { packages, ..ControllerConfig::default() };
        Controller::start(self.farm.namespaces(), layout::BRIDGE_ADDRESS.into(), config)
    }

    /// Starts an instance for a controller.
    pub(super) fn agent(
        &self,
        instance: u16,
        options: &[&str],
        controller: &Controller,
    ) -> Result<Agent> {
        let usual = ["--toolchain-id", &self.toolchain_id, "--ram", RAM];
        let spec = AgentSpec::new(usual.iter().chain(options)).with_controller(controller.url());
        Agent::start(&self.farm, &AgentSpec { instance, ..spec })
    }
}
