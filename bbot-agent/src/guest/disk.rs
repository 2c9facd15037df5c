//! The disk of a guest.

use std::time::Instant;

use bbot_btrfs::Snapshot;
use bbot_manifest::MachineManifest;

use crate::diag;

/// The disk of one boot, and the manifest that came with it.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) snapshot: Snapshot,
    /// The manifest of the machine in it.
    pub(crate) machine: MachineManifest,
}

impl Disk {
    /// Deletes the snapshot, which has served its purpose; should it resist, the next start sweeps
    /// it.
    pub(crate) fn discard(self, keys: &[(&str, &str)]) {
        let start = Instant::now();
        match self.snapshot.delete() {
            Ok(()) => diag::phase("deleted", start.elapsed(), keys),
            Err(error) => diag::warn(format_args!("{:#}", anyhow::Error::new(error))),
        }
    }
}
