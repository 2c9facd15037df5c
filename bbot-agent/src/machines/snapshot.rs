//! Working snapshots of machines.

use std::path::Path;

use anyhow::Context;
use bbot_btrfs::{As, Snapshot};

use super::layout::{Layout, MachineDir};
use super::mark::Mark;
use crate::diag;

/// A working snapshot of this process; it is deleted when dropped, unless it is published (W16).
#[derive(Debug)]
pub(crate) struct WorkingSnapshot {
    // Dropped first: it is in use until it is gone.
    snapshot: Snapshot,
    /// Held for its `Drop`.
    _mark: Mark,
}

impl WorkingSnapshot {
    /// Takes a snapshot of `source`, a subvolume of `machine`, and marks it (W45).
    pub(crate) fn take(
        layout: &Layout,
        machine: &MachineDir,
        source: &Path,
    ) -> anyhow::Result<Self> {
        let snapshot = Snapshot::take(source, As(&layout.snapshot(machine)), |error| {
            let error = anyhow::Error::new(error);
            diag::warn(format_args!("{error:#}; it is swept at the next start"));
        })?;
        let mark = Mark::set(snapshot.path(), layout.toolchain())
            .with_context(|| format!("cannot mark {}", snapshot.path().display()))?;
        Ok(Self { snapshot, _mark: mark })
    }

    /// Returns the path of the snapshot.
    pub(crate) fn path(&self) -> &Path {
        self.snapshot.path()
    }

    /// Deletes the snapshot.
    pub(crate) fn delete(self) -> Result<(), bbot_btrfs::Error> {
        self.snapshot.delete()
    }

    /// Gives the snapshot the name `name`, and deletes the subvolume that had it before.
    pub(crate) fn publish(self, name: &Path) -> Result<(), bbot_btrfs::Error> {
        self.snapshot.publish(name)
    }
}
