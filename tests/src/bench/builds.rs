//! The time that the agent adds to a build: between the controller's answer and the guest, and
//! between the guest's result and the controller.

use anyhow::{Result, ensure};

use super::figure::Figure;
use super::statistics::median;
use crate::harness::agent::{BuildTimes, build_times};
use crate::harness::hypervisor::SUCCESSFUL;
use crate::harness::limits::LIMIT;
use crate::harness::testbed::Testbed;

/// The number of builds, all by one agent.
const BUILDS: usize = 20;

pub(super) fn measure() -> Result<Vec<Figure>> {
    let names: Vec<_> = (1..=BUILDS).map(|number| format!("lib{number:02}")).collect();
    let testbed = Testbed::new(SUCCESSFUL, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut agent = testbed.start(&[])?;
    agent.wait_for_phase(LIMIT, "posted", BUILDS)?;
    agent.terminate()?;
    let builds = build_times(&agent.phases());
    ensure!(builds.len() == BUILDS, "not all builds are complete: {}", builds.len());
    let middle = |value: fn(&BuildTimes) -> f64| median(builds.iter().map(value).collect());
    let (to_exec, to_posted) =
        (middle(|build| build.task_to_qemu_exec), middle(|build| build.result_durable_to_posted));
    let what = |what: &str| format!("{what}, median of {BUILDS}");
    Ok(vec![
        Figure::millis("task-to-qemu-exec", what("task -> QEMU exec"), to_exec).at_most(100.0),
        Figure::millis("result-durable-to-posted", what("result durable -> posted"), to_posted)
            .at_most(100.0),
    ])
}
