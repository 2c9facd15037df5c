use std::path::Path;

use libbtrfsutil::{CreateSnapshotOptions, create_subvolume, delete_subvolume};
use libbtrfsutil::{set_subvolume_read_only, subvolume_read_only};
use nix::errno::Errno;

use crate::error::call;
use crate::{As, Error, Operation};

/// Makes `target` a writable snapshot of the subvolume `source`, which may be read-only.
///
/// Both must be on one file system. `target` must not exist. Where the source has subvolumes below
/// it, the snapshot has empty folders.
///
/// [`Snapshot::take`](crate::Snapshot::take) returns a value that deletes the snapshot in the end.
///
/// # Errors
///
/// The source, or the parent folder of the target, does not exist ([`Error::is_not_found`]); the
/// source is not a subvolume; the target exists; or another error of the system.
pub fn snapshot(source: &Path, target: As<'_>) -> Result<(), Error> {
    call(&[source, target.0], || {
        CreateSnapshotOptions::new().create(source, target.0).map_err(|e| e.os_error())
    })
    .map_err(|cause| cause.of_subvolume(source))
    .map_err(|cause| Error { operation: Operation::snapshot(source, target.0), cause })
}

/// Creates an empty subvolume.
///
/// # Errors
///
/// The path is not on btrfs; it exists; its parent does not ([`Error::is_not_found`]); or another
/// error of the system.
pub fn create(path: &Path) -> Result<(), Error> {
    call(&[path], || create_subvolume(path).map_err(|e| e.os_error()))
        .map_err(|cause| Error { operation: Operation::create(path), cause })
}

/// Deletes a subvolume, also a read-only one.
///
/// Its name is free at once; its space becomes free in the background. A user without
/// `CAP_SYS_ADMIN` may delete subvolumes on a volume that is mounted with `user_subvol_rm_allowed`.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]); it is not a subvolume, and is left as it is;
/// there are subvolumes below it; or another error of the system.
pub fn delete(path: &Path) -> Result<(), Error> {
    let destroy = || delete_subvolume(path).map_err(|e| e.os_error());
    call(&[path], destroy)
        .or_else(|cause| {
            if !cause.is(Errno::EROFS) {
                return Err(cause.of_subvolume(path));
            }
            // Root may delete a read-only subvolume; its owner must make it writable first.
            call(&[path], || {
                set_subvolume_read_only(path, false).map_err(|e| e.os_error())?;
                destroy()
            })
        })
        .map_err(|cause| Error { operation: Operation::delete(path), cause })
}

/// Returns whether the path is the root of a subvolume. A symbolic link is followed.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]), or another error of the system.
pub fn is_subvolume(path: &Path) -> Result<bool, Error> {
    call(&[path], || libbtrfsutil::is_subvolume(path).map_err(|e| e.os_error()))
        .map_err(|cause| Error { operation: Operation::examine(path), cause })
}

/// Returns whether a subvolume is read-only.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]); it is not a subvolume; or another error of
/// the system.
pub fn is_read_only(path: &Path) -> Result<bool, Error> {
    call(&[path], || subvolume_read_only(path).map_err(|e| e.os_error()))
        .map_err(|cause| cause.of_subvolume(path))
        .map_err(|cause| Error { operation: Operation::get_read_only(path), cause })
}

/// Makes a subvolume read-only, or writable.
///
/// # Errors
///
/// The path does not exist ([`Error::is_not_found`]); it is not a subvolume, or one that
/// `btrfs send` is reading; or another error of the system.
pub fn set_read_only(path: &Path, read_only: bool) -> Result<(), Error> {
    call(&[path], || set_subvolume_read_only(path, read_only).map_err(|e| e.os_error()))
        .map_err(|cause| cause.of_subvolume(path))
        .map_err(|cause| Error { operation: Operation::set_read_only(path, read_only), cause })
}
