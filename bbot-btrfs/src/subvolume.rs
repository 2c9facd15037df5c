use std::path::Path;

use libbtrfsutil::{CreateSnapshotOptions, create_subvolume, delete_subvolume};
use libbtrfsutil::{set_subvolume_read_only, subvolume_read_only};
use nix::errno::Errno;

use crate::error::call;
use crate::{Error, Operation};

/// Makes `target` a writable snapshot of the subvolume `source`, which may be read-only.
///
/// Both lie on one file system. `target` must not exist. In the place of subvolumes below the
/// source the snapshot has empty folders.
///
/// # Errors
///
/// There is no such source, or no folder for the target ([`Error::is_not_found`]); the source is
/// not a subvolume; the target exists; or whatever else the system says.
pub fn snapshot(source: &Path, target: &Path) -> Result<(), Error> {
    call(&[source, target], || CreateSnapshotOptions::new().create(source, target))
        .map_err(|cause| cause.of_subvolume(source))
        .map_err(|cause| Error { operation: Operation::snapshot(source, target), cause })
}

/// Makes an empty subvolume.
///
/// # Errors
///
/// The path is not on btrfs; it exists; its parent does not ([`Error::is_not_found`]); or whatever
/// else the system says.
pub fn create(path: &Path) -> Result<(), Error> {
    call(&[path], || create_subvolume(path))
        .map_err(|cause| Error { operation: Operation::create(path), cause })
}

/// Deletes a subvolume, also one that is read-only.
///
/// Its name is free at once; the space becomes free in the background. A user without
/// `CAP_SYS_ADMIN` may do it on a volume that is mounted with `user_subvol_rm_allowed`.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]); it is not a subvolume, and stays; there are
/// subvolumes below it; or whatever else the system says.
pub fn delete(path: &Path) -> Result<(), Error> {
    call(&[path], || delete_subvolume(path))
        .or_else(|cause| {
            if !cause.is(Errno::EROFS) {
                return Err(cause.of_subvolume(path));
            }
            // What root may delete at once, its owner must make writable first.
            set_subvolume_read_only(path, false)?;
            Ok(delete_subvolume(path)?)
        })
        .map_err(|cause| Error { operation: Operation::delete(path), cause })
}

/// Tells whether the path is the root of a subvolume. A symlink is followed.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]), or whatever else the system says.
pub fn is_subvolume(path: &Path) -> Result<bool, Error> {
    call(&[path], || libbtrfsutil::is_subvolume(path))
        .map_err(|cause| Error { operation: Operation::examine(path), cause })
}

/// Tells whether a subvolume is read-only.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]); it is not a subvolume; or whatever else the
/// system says.
pub fn is_read_only(path: &Path) -> Result<bool, Error> {
    call(&[path], || subvolume_read_only(path))
        .map_err(|cause| cause.of_subvolume(path))
        .map_err(|cause| Error { operation: Operation::get_read_only(path), cause })
}

/// Makes a subvolume read-only, or writable.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]); it is not a subvolume, or one that is being
/// sent; or whatever else the system says.
pub fn set_read_only(path: &Path, read_only: bool) -> Result<(), Error> {
    call(&[path], || set_subvolume_read_only(path, read_only))
        .map_err(|cause| cause.of_subvolume(path))
        .map_err(|cause| Error { operation: Operation::set_read_only(path, read_only), cause })
}
