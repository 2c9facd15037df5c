//! Another instance on the same host, whose name begins with the name of the instance under test:
//! it works all the time, and must not be affected by the kills of the other one.

use anyhow::{Context, Result};
use bbot_manifest::ResultStatus;

use super::exchanges::posts;
use crate::harness::agent::{Agent, AgentSpec};
use crate::harness::controller::{Controller, ControllerConfig, Package, Verdict};
use crate::harness::limits::LIMIT;
use crate::harness::testbed::{MACHINE, TOOLCHAIN, Testbed};

/// Its toolchain: that of the instance under test is `default`, and both have the number 1.
const NAME: &str = "default-1";
/// How many packages it builds.
const PACKAGES: usize = 5;

/// The other instance and its controller.
#[derive(Debug)]
pub(super) struct OtherInstance {
    controller: Controller,
    agent: Agent,
}

impl OtherInstance {
    /// Starts it.
    pub(super) fn start(testbed: &Testbed) -> Result<OtherInstance> {
        let toolchains = testbed.farm.tftp().join("toolchains");
        testbed.farm.add_toolchain(NAME, &toolchains.join(TOOLCHAIN))?;
        let package = |number| Package::new(&format!("other{number}"), "1.0.0", MACHINE);
        let packages = (0..PACKAGES).map(package).collect();
        let config = ControllerConfig { packages, ..ControllerConfig::default() };
        let controller = testbed.start_controller(config)?;
        let spec = testbed.idle_agent(&["--toolchain-num", "2"]).with_controller(controller.url());
        let agent = Agent::start(&testbed.farm, &AgentSpec { toolchain: NAME.to_owned(), ..spec })?;
        Ok(OtherInstance { controller, agent })
    }

    /// Waits until its packages are built, and ends it. Returns what went wrong.
    pub(super) fn end(mut self) -> Result<Vec<String>> {
        let done = self.controller.wait_until_done(LIMIT);
        self.agent.terminate()?;
        done.with_context(|| format!("the other instance failed: {:#?}", self.agent.lines()))?;
        let mut wrong = Vec::new();
        let posts = posts(&self.controller.exchanges());
        if posts.len() != PACKAGES {
            wrong.push(format!("the other instance posted {} times", posts.len()));
        }
        let good = Some(Verdict::Stored(ResultStatus::Success));
        let bad = posts.iter().filter(|post| post.verdict != good);
        wrong.extend(bad.map(|post| format!("the other instance was disturbed: {post:?}")));
        Ok(wrong)
    }

    /// Whether this is a machine that it has bootstrapped, which may be left.
    pub(super) fn may_leave(item: &str) -> bool {
        item.starts_with("subvolume ") && item.ends_with(&format!("-{NAME}"))
    }
}
