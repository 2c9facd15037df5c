//! The real machine: a guest with a Linux kernel, and a toolchain for it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::harness::farm::{Disk, Farm, MachineSpec};
use crate::harness::testbed::TOOLCHAIN;

/// Its name.
pub(super) const MACHINE: &str = "linux_debian_12-tcc_0.9";
/// Its RAM in KiB: enough for a small C compiler.
pub(super) const RAM: &str = "524288";

/// Installs machine and toolchain from the folder `image` in the farm. Returns the toolchain's id.
pub(super) fn install(farm: &Farm, image: &Path) -> Result<String> {
    let manifest = image.join("machine/manifest");
    let manifest = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let disk = Disk::File(image.join("machine/disk.img"));
    farm.add_machine(&MachineSpec { name: MACHINE.to_owned(), revision: 1, manifest, disk })?;
    let toolchain = image.join("toolchain");
    farm.add_toolchain(TOOLCHAIN, &toolchain)?;
    let sums = std::fs::read_to_string(toolchain.join("toolchain.sha256"))?;
    Ok(sums.split_whitespace().next().context("no checksum of the toolchain")?.to_owned())
}
