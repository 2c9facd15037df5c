//! A machine that is offered to a controller.

use bbot_manifest::{BootstrappedMachine, MachineHeader};

use super::enumerate::Machine;
use super::layout::MachineDir;

/// A bootstrapped machine that can take a task, now or after an interrupt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub(crate) dir: &'a MachineDir,
    pub(crate) bootstrapped: &'a BootstrappedMachine,
}

impl<'a> Offer<'a> {
    /// Returns the offer of a machine; `None` if it can take no task.
    pub(crate) fn of(machine: &'a Machine) -> Option<Self> {
        let bootstrapped = machine.bootstrapped()?;
        Some(Self { dir: &machine.dir, bootstrapped })
    }

    /// Returns the header of the machine, as it is sent to the controller.
    pub(crate) fn header(&self) -> &'a MachineHeader {
        &self.bootstrapped.machine.header
    }
}
