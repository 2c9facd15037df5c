use std::fs::File;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::error::call;
use crate::{Cause, Error, Operation};

/// How often the name may appear or vanish between our two ways to take it.
const ATTEMPTS: u32 = 100;

/// How a subvolume has come by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Another one bore the name. It bears now the name that the new one had.
    pub displaced: bool,
}

/// Gives the subvolume `new` the name `name`, which another one may bear.
///
/// Whoever opens `name` meanwhile gets the old one or the new one, never nothing. When this returns
/// the change is on disk. Both paths lie on one file system.
///
/// What is *in* the new subvolume is on disk if the caller has seen to it (`fsync(2)`).
///
/// # Errors
///
/// There is no `new` ([`Error::is_not_found`]), or whatever else the system says. If it is the last
/// step that failed, to bring the change to the disk, then the change has taken place nevertheless.
pub fn publish(new: &Path, name: &Path) -> Result<Published, Error> {
    call(&[new, name], || {
        let displaced = take_name(new, name)?;
        sync_parent(name)?;
        if new.parent() != name.parent() {
            sync_parent(new)?;
        }
        Ok::<_, Cause>(Published { displaced })
    })
    .map_err(|cause| Error { operation: Operation::publish(new, name), cause })
}

/// Renames by exchange, or, if nothing bears the name, without replacing anything.
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
