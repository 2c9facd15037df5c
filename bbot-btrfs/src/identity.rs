use std::path::Path;

use crate::error::call;
use crate::{Error, Operation};

/// What identifies a subvolume, whatever its path is.
///
/// The UUIDs are those that `btrfs subvolume show` prints, as 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Identity {
    /// The UUID of the subvolume. It is its own from its creation to its end.
    pub uuid: [u8; 16],
    /// The UUID of the subvolume of which this one was taken as a snapshot, which need not exist
    /// any more. `None`: this one is not a snapshot.
    pub parent: Option<[u8; 16]>,
}

/// Returns the identity of a subvolume. A symbolic link is followed.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]); it is not a subvolume; or another error of
/// the system.
pub fn identity(path: &Path) -> Result<Identity, Error> {
    call(&[path], || libbtrfsutil::subvolume_info(path).map_err(|e| e.os_error()))
        .map_err(|cause| cause.of_subvolume(path))
        .map(|info| {
            let parent = info.parent_uuid().map(|parent| *parent.as_bytes());
            Identity { uuid: *info.uuid().as_bytes(), parent }
        })
        .map_err(|cause| Error { operation: Operation::identify(path), cause })
}
