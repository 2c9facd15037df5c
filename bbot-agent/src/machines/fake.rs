//! `--fake-machine`: one machine that exists only as its header manifest.

use std::path::Path;

use bbot_manifest::protocol::{BootstrapManifest, MacAddress, MachineType, ToolchainManifest};
use bbot_manifest::{BootstrappedMachine, MachineHeader, MachineManifest};

use super::enumerate::{Enumeration, Machine, State, read_manifest};
use super::layout::MachineDir;

/// The MAC address of a fake machine.
pub(crate) const MAC: MacAddress = MacAddress([0xde, 0xad, 0xbe, 0xef, 0xde, 0xad]);

/// Returns an enumeration of one machine, whose header is in `file`.
pub(crate) fn enumeration(file: &Path, machines: &Path) -> anyhow::Result<Enumeration> {
    let header: MachineHeader = read_manifest(file)?;
    // For diagnostics only: the folder does not exist.
    let dir = MachineDir { name: header.name.clone(), path: machines.join(header.name.as_str()) };
    let mut machine = MachineManifest::new(header, MachineType::Kvm);
    machine.mac = Some(MAC);
    let toolchain = ToolchainManifest::new(String::new());
    let manifest = BootstrappedMachine::new(machine, toolchain, BootstrapManifest::default());
    let state = State::Ready(Box::new(manifest));
    Ok(Enumeration { machines: vec![Machine { dir, state }], problems: Vec::new() })
}
