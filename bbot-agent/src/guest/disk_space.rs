//! Whether the host's disk has space for what a guest's worker uploads (W26).

use std::path::PathBuf;

use bbot_tftp::{Direction, ErrorCode, Event, Failure};
use nix::sys::statvfs::statvfs;

/// The disk space that is left for one guest's uploads.
#[derive(Debug)]
pub(super) struct DiskSpace {
    uploads: PathBuf,
    /// The bytes that the guest may still upload.
    allowed: u64,
}

impl DiskSpace {
    /// The space for uploads of `allowed` bytes into the folder `uploads`.
    pub(super) fn new(uploads: PathBuf, allowed: u64) -> Self {
        Self { uploads, allowed }
    }

    /// Returns whether an upload failed because the host's disk is full.
    ///
    /// The server reports the same if the guest uploads more than it may; but then there is space
    /// for what it might still have uploaded.
    pub(super) fn is_exhausted_by_upload(&mut self, event: &Event) -> bool {
        match event {
            Event::Finished { direction: Direction::Put, bytes, .. } => {
                self.allowed = self.allowed.saturating_sub(*bytes);
                false
            }
            Event::Failed {
                direction: Direction::Put,
                reason: Failure::Local { code: ErrorCode::DISK_FULL, .. },
                ..
            }
            | Event::Refused { direction: Direction::Put, code: ErrorCode::DISK_FULL, .. } => {
                // A file system that cannot be examined is as bad as a full one.
                let free = statvfs(&self.uploads)
                    .map_or(0, |found| found.blocks_available() * found.fragment_size());
                free < self.allowed
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use bbot_tftp::TransferId;

    use super::*;

    fn transfer() -> TransferId {
        NonZeroU64::MIN.into()
    }

    fn put(code: ErrorCode) -> Event {
        Event::failed(transfer(), Direction::Put, "a", Failure::local(code, ""))
    }

    /// W26: a disk is full if it has no space for what the guest may still upload.
    #[test]
    fn a_full_disk_is_not_an_exceeded_limit() {
        let folder = tempfile::tempdir().unwrap();
        let space = |allowed| DiskSpace::new(folder.path().to_owned(), allowed);
        let full = put(ErrorCode::DISK_FULL);
        assert!(space(u64::MAX).is_exhausted_by_upload(&full));
        assert!(!space(1).is_exhausted_by_upload(&full));
        assert!(!space(u64::MAX).is_exhausted_by_upload(&put(ErrorCode::ACCESS)));
        let mut exceeding = space(u64::MAX);
        let bytes = u64::MAX - 1;
        let stored = Event::finished(transfer(), Direction::Put, "a", bytes, Duration::ZERO);
        assert!(
            !exceeding.is_exhausted_by_upload(&stored) && !exceeding.is_exhausted_by_upload(&full)
        );
        let gone = DiskSpace::new("/no/such/folder".into(), 1);
        assert!({ gone }.is_exhausted_by_upload(&full));
    }
}
