//! The machines of the host, for one instance: its names and its requirements.

use std::io;

use bbot_lock::HostLock;

use super::enumerate::{Enumeration, Requirements, State, enumerate, judge};
use super::layout::{Layout, MachineDir};
use crate::config::Config;

/// Names, paths and requirements of this instance.
#[derive(Debug)]
pub(crate) struct HostView {
    pub(crate) layout: Layout,
    /// The conditions under which a bootstrapped machine is offered.
    pub(crate) requirements: Requirements,
    /// The most machines that may be busy at once; 0: no limit.
    pub(crate) instance_max: u16,
}

impl HostView {
    pub(crate) fn new(config: &Config) -> Self {
        let toolchain = &config.toolchain;
        // W20: without a limit no task is interrupted.
        let priorities = config.controllers.iter().filter(|_| config.instance_max != 0);
        let requirements = Requirements {
            toolchain_id: toolchain.id.clone(),
            worker: config.worker_version.clone(),
            greatest: priorities.map(|controller| controller.priority).max(),
        };
        let (machines, toolchain) = (config.machines.clone(), toolchain.name.clone());
        let layout = Layout::new(machines, toolchain, config.instance);
        Self { layout, requirements, instance_max: config.instance_max }
    }

    pub(crate) fn enumerate(&self, host: &HostLock) -> io::Result<Enumeration> {
        enumerate(&self.layout, host, &self.requirements)
    }

    /// Judges a machine by its manifests; `None` if it does not exist for the agent's bootstrap
    /// protocol.
    pub(crate) fn judge(&self, dir: &MachineDir) -> anyhow::Result<Option<State>> {
        judge(&self.layout, dir, &self.requirements)
    }
}
