//! Another instance on the same host, whose name is ours but for one more word: it works all the
//! time, and nothing that befalls us may befall it.

use std::time::Duration;

use anyhow::{Context, Result};
use bbot_manifest::ResultStatus;

use super::run::arrivals;
use crate::agent::{Agent, AgentSpec};
use crate::controller::{Controller, ControllerConfig, Package, Verdict};
use crate::farm::layout;
use crate::scene::{MACHINE, Scene, TOOLCHAIN};

/// Its toolchain; ours is `default`, and its instance is our number.
const NAME: &str = "default-1";
/// How many packages it builds.
const PACKAGES: usize = 5;
/// For all of them.
const LIMIT: Duration = Duration::from_secs(120);

/// An instance at work.
#[derive(Debug)]
pub(super) struct Neighbour {
    controller: Controller,
    agent: Agent,
}

impl Neighbour {
    /// Starts it.
    pub(super) fn start(scene: &Scene) -> Result<Neighbour> {
        let toolchains = scene.farm.tftp().join("toolchains");
        scene.farm.add_toolchain(NAME, &toolchains.join(TOOLCHAIN))?;
        let package = |number| Package::new(&format!("other{number}"), "1.0.0", MACHINE);
        let packages = (0..PACKAGES).map(package).collect();
        let config = ControllerConfig { packages, ..ControllerConfig::default() };
        let host = layout::BRIDGE_ADDRESS.into();
        let controller = Controller::start(scene.farm.inside(), host, config)?;
        let mut spec = scene.idle_agent(&["--toolchain-num", "2"]);
        spec.arguments.push(controller.url().into());
        let agent = Agent::start(&scene.farm, &AgentSpec { toolchain: NAME.to_owned(), ..spec })?;
        Ok(Neighbour { controller, agent })
    }

    /// Waits until its work is done, and ends it. Returns what went wrong with it.
    pub(super) fn end(mut self) -> Result<Vec<String>> {
        let done = self.controller.wait(LIMIT, |_| self.controller.is_done().then_some(()));
        self.agent.terminate()?;
        done.with_context(|| format!("the neighbour is not done: {:#?}", self.agent.lines()))?;
        let mut wrong = Vec::new();
        let arrivals = arrivals(&self.controller.exchanges());
        if arrivals.len() != PACKAGES {
            wrong.push(format!("the neighbour reported {} times", arrivals.len()));
        }
        let good = Some(Verdict::Stored(ResultStatus::Success));
        let bad = arrivals.iter().filter(|arrival| arrival.verdict != good);
        wrong.extend(bad.map(|arrival| format!("the neighbour was disturbed: {arrival:?}")));
        Ok(wrong)
    }

    /// Whether this may be left behind: the machines that it has bootstrapped.
    pub(super) fn leaves(item: &str) -> bool {
        item.starts_with("subvolume ") && item.ends_with(&format!("-{NAME}"))
    }
}
