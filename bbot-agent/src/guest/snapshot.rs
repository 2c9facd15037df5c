//! Working snapshots of machines.

use std::path::{Path, PathBuf};

use crate::diag;

/// A working snapshot; deleted when dropped, unless it was published (W16).
#[derive(Debug)]
pub(crate) struct Snapshot {
    path: PathBuf,
}

impl Snapshot {
    /// Takes a writable snapshot of `source`.
    pub(crate) fn take(source: &Path, path: PathBuf) -> Result<Self, bbot_btrfs::Error> {
        bbot_btrfs::snapshot(source, &path)?;
        Ok(Self { path })
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes it.
    pub(crate) fn delete(self) -> Result<(), bbot_btrfs::Error> {
        let result = bbot_btrfs::delete(&self.path);
        std::mem::forget(self);
        result
    }

    /// Gives it the name `name` for good; what bore the name before is deleted (W14).
    pub(crate) fn publish(self, name: &Path) -> Result<(), bbot_btrfs::Error> {
        let published = bbot_btrfs::publish(&self.path, name)?;
        if published.displaced {
            // The obsolete one bears the snapshot's name now: a crash here leaves it to recovery.
            return self.delete();
        }
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = bbot_btrfs::delete(&self.path) {
            let error = anyhow::Error::new(error);
            diag::warn(format_args!("{error:#}; it is swept at the next start"));
        }
    }
}
