use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::error::call;
use crate::{As, Cause, Error, Operation};

/// How often the name may appear or vanish between the two attempts to take it.
const ATTEMPTS: u32 = 100;

/// How a subvolume got its new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Published {
    /// Whether another subvolume had the name before. It now has the name that the new subvolume
    /// had.
    pub displaced: bool,
}

/// Gives the subvolume `new` the name `name`, even if another one has that name.
///
/// A process that opens `name` meanwhile gets the old one or the new one, and never finds the name
/// missing (`RENAME_EXCHANGE`, `renameat2(2)`). When this returns, the change is on disk: the
/// parent folders have been synced (`fsync(2)`). Both paths must be on one file system.
///
/// The *content* of the new subvolume is on disk only if the caller has synced it before.
///
/// # Errors
///
/// `new` does not exist ([`Error::is_not_found`]); it is not a subvolume, or what has the name is
/// not ([`Cause::NotSubvolume`]), and neither is changed; or another error of the system. If the
/// sync of a
/// parent folder fails, the change has taken place nevertheless, but may not survive a power
/// failure.
pub fn publish(new: &Path, name: As<'_>) -> Result<Published, Error> {
    check_displaced(name.0)
        .and_then(|()| check(new))
        .and_then(|()| call(&[new, name.0], || exchange(new, name.0)))
        .map_err(|cause| Error { operation: Operation::publish(new, name.0), cause })
}

fn exchange(new: &Path, name: &Path) -> io::Result<Published> {
    let displaced = take_name(new, name)?;
    sync_parent(name)?;
    if new.parent() != name.parent() {
        sync_parent(new)?;
    }
    Ok(Published { displaced })
}

/// Checks that the path itself is a subvolume: not a folder, nor a link to a subvolume.
fn check(path: &Path) -> Result<(), Cause> {
    let is_subvolume = call(&[path], || {
        let is_folder = fs::symlink_metadata(path)?.is_dir();
        Ok(is_folder && libbtrfsutil::is_subvolume(path).map_err(|e| e.os_error())?)
    })?;
    if is_subvolume { Ok(()) } else { Err(Cause::NotSubvolume) }
}

/// Checks that what has the name, if anything has, may be displaced.
fn check_displaced(name: &Path) -> Result<(), Cause> {
    match check(name) {
        Err(cause) if cause.is(Errno::ENOENT) => Ok(()),
        checked => checked,
    }
}

/// Renames by exchange or, if nothing has the name, without replacing anything. Returns whether it
/// exchanged.
fn take_name(new: &Path, name: &Path) -> Result<bool, Errno> {
    let rename = |flags| renameat2(AT_FDCWD, new, AT_FDCWD, name, flags);
    for _ in 0..ATTEMPTS {
        match rename(RenameFlags::RENAME_EXCHANGE) {
            Err(Errno::ENOENT) => {}
            result => return result.map(|()| true),
        }
        match rename(RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EEXIST) => {}
            result => return result.map(|()| false),
        }
    }
    Err(Errno::EBUSY)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}
