//! The file descriptors that a hypervisor inherits.

use std::fs::File;
use std::os::fd::{FromRawFd, RawFd};

/// Takes ownership of an inherited file descriptor.
///
/// # Errors
/// If there is no such file descriptor.
#[expect(unsafe_code, reason = "an inherited descriptor is known by its number alone")]
pub(super) fn inherited(fd: RawFd) -> std::io::Result<File> {
    // The number comes from the command line: a wrong one must not make an invalid owner.
    std::fs::symlink_metadata(format!("/proc/self/fd/{fd}"))?;
    // SAFETY: the descriptor is open, as was just checked, and the command line gives each one to
    // one device, so that it has no other owner in this process.
    Ok(unsafe { File::from_raw_fd(fd) })
}
