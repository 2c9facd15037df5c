//! The disk image.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;

use nix::libc;

use super::user::VmUser;
use crate::error::Error;

/// The name of the disk image within a guest's folder.
pub(crate) const DISK_IMAGE: &str = "disk.img";

/// Makes `user` the owner of the disk image, and of nothing else.
pub(crate) fn give_disk(directory: &Path, user: &VmUser) -> Result<(), Error> {
    let path = directory.join(DISK_IMAGE);
    // A symbolic link is not followed, and the open of a pipe does not wait for its other end.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let image = OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let image = image.map_err(Error::io("open disk image", &path))?;
    let metadata = image.metadata().map_err(Error::io("look at disk image", &path))?;
    if !metadata.is_file() {
        return Err(Error::Config {
            what: "disk image",
            value: path.display().to_string(),
            reason: "is not a regular file",
        });
    }
    fchown(&image, Some(user.uid()), Some(user.gid()))
        .map_err(Error::io("change the owner of", path))
}
