//! Working snapshots of machines.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use bbot_btrfs::{As, Snapshot};

use super::layout::{Layout, MachineDir};
use super::mark::Mark;
use crate::diag;

/// The permission to reach the disk image in a folder, for all users.
const SEARCH: u32 = 0o111;

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
    ///
    /// The user that guests run as must be able to reach the disk image. An operator may have
    /// closed the machine's own folder (W69).
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
        if let Err(error) = open_folder(snapshot.path()) {
            // The hypervisor says what it cannot open.
            let path = snapshot.path().display();
            diag::warn(format_args!("cannot change the mode of {path}: {error}"));
        }
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

fn open_folder(folder: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(folder)?.permissions().mode();
    if mode & SEARCH == SEARCH {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(mode | SEARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W69: a closed folder can be searched, and still not be listed.
    #[test]
    fn a_closed_folder_can_be_searched() {
        for (before, after) in [(0o700, 0o711), (0o750, 0o751), (0o755, 0o755), (0o600, 0o711)] {
            let folder = tempfile::tempdir().unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(before)).unwrap();
            open_folder(folder.path()).unwrap();
            let mode = fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, after, "{before:o}");
        }
    }
}
