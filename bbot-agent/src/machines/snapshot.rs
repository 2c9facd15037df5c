//! Working snapshots of machines.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bbot_btrfs::{As, Snapshot};

use crate::diag;

/// The permission to reach the disk image in a folder, for all users.
const SEARCH: u32 = 0o111;

/// Takes a working snapshot; it is deleted when dropped, unless it is published (W16).
///
/// The user that guests run as must be able to reach the disk image. An operator may have closed
/// the machine's own folder (W69).
pub(crate) fn take(source: &Path, target: &Path) -> Result<Snapshot, bbot_btrfs::Error> {
    let snapshot = Snapshot::take(source, As(target), |error| {
        let error = anyhow::Error::new(error);
        diag::warn(format_args!("{error:#}; it is swept at the next start"));
    })?;
    if let Err(error) = open_folder(snapshot.path()) {
        // The hypervisor says what it cannot open.
        diag::warn(format_args!("cannot change the mode of {}: {error}", target.display()));
    }
    Ok(snapshot)
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
