//! Working snapshots of machines.

use std::path::Path;

use bbot_btrfs::{As, Snapshot};

use crate::diag;

/// Takes a working snapshot; it is deleted when dropped, unless it is published (W16).
pub(crate) fn take(source: &Path, target: &Path) -> Result<Snapshot, bbot_btrfs::Error> {
    Snapshot::take(source, As(target), |error| {
        let error = anyhow::Error::new(error);
        diag::warn(format_args!("{error:#}; it is swept at the next start"));
    })
}
