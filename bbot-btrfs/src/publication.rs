use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::error::call;
use crate::{As, Error, Operation};

/// How often the name may appear or vanish between the two attempts to take it.
const ATTEMPTS: u32 = 100;

/// How a subvolume got its new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Published {
    /// Whether another file or folder had the name before. It now has the name that the new
    /// subvolume had.
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
/// `new` does not exist ([`Error::is_not_found`]), or another error of the system. If the sync of a
/// parent folder fails, the change has taken place nevertheless, but may not survive a power
/// failure.
pub fn publish(new: &Path, name: As<'_>) -> Result<Published, Error> {
    call(&[new, name.0], || {
        let displaced = take_name(new, name.0)?;
        sync_parent(name.0)?;
        if new.parent() != name.0.parent() {
            sync_parent(new)?;
        }
        Ok(Published { displaced })
    })
    .map_err(|cause| Error { operation: Operation::publish(new, name.0), cause })
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
