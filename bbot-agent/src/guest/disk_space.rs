//! Whether the host has room for what a guest and its worker write (W26).

use std::path::PathBuf;

use bbot_tftp::{Direction, ErrorCode, Event, Failure};
use bbot_vm::GuestEvent;
use nix::sys::statvfs::statvfs;

/// What is known of the room for one guest.
#[derive(Debug)]
pub(super) struct Room {
    uploads: PathBuf,
    /// The bytes that the guest may still upload.
    allowed: u64,
    has_disk_error: bool,
}

impl Room {
    /// Room for uploads of `allowed` bytes in the folder `uploads`, and for a disk.
    pub(super) fn new(uploads: PathBuf, allowed: u64) -> Self {
        Self { uploads, allowed, has_disk_error: false }
    }

    /// Returns whether an upload has found no room on the host.
    ///
    /// The server says the same if the guest uploads more than it may; but then there is room for
    /// what it might still have uploaded.
    pub(super) fn is_lacking_for_upload(&mut self, event: &Event) -> bool {
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
                // What cannot be looked at cannot be written either.
                let free = statvfs(&self.uploads)
                    .map_or(0, |found| found.blocks_available() * found.fragment_size());
                free < self.allowed
            }
            _ => false,
        }
    }

    /// Returns whether the guest's disk has found no room on the host: QEMU stops the guest then,
    /// and for no other error of the disk.
    pub(super) fn is_lacking_for_disk(&mut self, event: &GuestEvent) -> bool {
        match event {
            GuestEvent::BlockIoError { .. } => self.has_disk_error = true,
            GuestEvent::Stopped => return self.has_disk_error,
            _ => {}
        }
        false
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

    /// W26: full is the disk that would not hold what the guest may still upload.
    #[test]
    fn a_full_disk_is_told_from_a_greedy_guest() {
        let folder = tempfile::tempdir().unwrap();
        let room = |allowed| Room::new(folder.path().to_owned(), allowed);
        let full = put(ErrorCode::DISK_FULL);
        assert!(room(u64::MAX).is_lacking_for_upload(&full));
        assert!(!room(1).is_lacking_for_upload(&full));
        assert!(!room(u64::MAX).is_lacking_for_upload(&put(ErrorCode::ACCESS)));
        let mut greedy = room(u64::MAX);
        let bytes = u64::MAX - 1;
        let stored = Event::finished(transfer(), Direction::Put, "a", bytes, Duration::ZERO);
        assert!(!greedy.is_lacking_for_upload(&stored) && !greedy.is_lacking_for_upload(&full));
        let gone = Room::new("/no/such/folder".into(), 1);
        assert!({ gone }.is_lacking_for_upload(&full));
    }

    /// W26: QEMU's two events; a guest that an operator stops is none of the disk's.
    #[test]
    fn a_stop_after_a_disk_error_means_no_room() {
        let mut room = Room::new("/".into(), 0);
        let event = |message| GuestEvent::from_qmp(message).unwrap();
        let other = event(r#"{"event": "RTC_CHANGE", "data": {"offset": 78}}"#);
        for event in [GuestEvent::Stopped, GuestEvent::Resumed, other] {
            assert!(!room.is_lacking_for_disk(&event), "{event:?}");
        }
        assert!(!room.is_lacking_for_disk(&GuestEvent::Stopped));
        let disk_error = event(
            r#"{"event": "BLOCK_IO_ERROR", "data": {"device": "disk0", "operation": "write",
                "action": "stop", "nospace": true, "reason": "No space left on device"}}"#,
        );
        assert!(!room.is_lacking_for_disk(&disk_error));
        assert!(room.is_lacking_for_disk(&GuestEvent::Stopped));
    }
}
