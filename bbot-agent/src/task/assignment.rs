//! A task, and the machine for it.

use bbot_manifest::{BootstrappedMachine, ResultManifest, ResultStatus};

use crate::config::Controller;
use crate::controller::AcceptedTask;
use crate::machines::layout::MachineDir;
use crate::machines::offer::Offer;
use crate::schedule::priority::Priority;

/// A task that this instance is going to perform, and the machine for it.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) task: Box<AcceptedTask>,
    /// The priority of its controller.
    pub(crate) priority: Priority,
    pub(crate) controller_url: String,
    pub(crate) dir: MachineDir,
    pub(crate) machine: BootstrappedMachine,
    /// The machines that other processes had locked.
    pub(crate) others: Vec<MachineDir>,
}

impl Assignment {
    pub(crate) fn new(
        task: Box<AcceptedTask>,
        controller: &Controller,
        offer: Offer<'_>,
        others: Vec<MachineDir>,
    ) -> Self {
        Self {
            task,
            priority: controller.priority,
            controller_url: controller.url.clone(),
            dir: offer.dir.clone(),
            machine: offer.bootstrapped.clone(),
            others,
        }
    }

    /// Returns name and version of the package.
    pub(crate) fn package(&self) -> String {
        let task = &self.task.task;
        format!("{}/{}", task.name, task.version)
    }

    /// Returns whether a user may log in to the guest.
    pub(super) fn is_interactive(&self) -> bool {
        self.task.task.interactive.is_some()
    }

    /// Returns a result that has only this status.
    pub(super) fn result(&self, status: ResultStatus) -> ResultManifest {
        let task = &self.task.task;
        ResultManifest::new(task.name.clone(), task.version.clone(), status)
    }

    /// Returns what identifies the task in the log.
    pub(super) fn keys(&self) -> [(&'static str, &str); 2] {
        [("machine", self.dir.name.as_str()), ("session", &self.task.session)]
    }
}
