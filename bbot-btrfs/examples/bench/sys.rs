//! The bare ioctls, without a library.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct btrfs_ioctl_vol_args_v2`
#[repr(C)]
struct SnapshotArguments {
    fd: i64,
    transaction: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_vol_args`
#[repr(C)]
struct DeleteArguments {
    fd: i64,
    name: [u8; 4088],
}

const _: () = assert!(size_of::<SnapshotArguments>() == 4096);
const _: () = assert!(size_of::<DeleteArguments>() == 4096);

mod ioctl {
    use super::{DeleteArguments, SnapshotArguments};

    nix::ioctl_write_ptr!(snap_create_v2, 0x94, 23, SnapshotArguments);
    nix::ioctl_write_ptr!(snap_destroy, 0x94, 15, DeleteArguments);
}

/// `BTRFS_IOC_SNAP_CREATE_V2`
pub(crate) fn snapshot(source: &Path, target: &Path) -> io::Result<()> {
    let (source, parent) = (File::open(source)?, parent(target)?);
    let arguments = SnapshotArguments {
        fd: source.as_raw_fd().into(),
        transaction: 0,
        flags: 0,
        unused: [0; 4],
        name: name(target)?,
    };
    // SAFETY: the descriptor is open; the kernel reads the 4096 bytes of the arguments, among them
    // a name that ends with a NUL.
    unsafe { ioctl::snap_create_v2(parent.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}

/// `BTRFS_IOC_SNAP_DESTROY`
pub(crate) fn delete(path: &Path) -> io::Result<()> {
    let parent = parent(path)?;
    let arguments = DeleteArguments { fd: 0, name: name(path)? };
    // SAFETY: the descriptor is open; the kernel reads the 4096 bytes of the arguments, among them
    // a name that ends with a NUL.
    unsafe { ioctl::snap_destroy(parent.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}

fn parent(path: &Path) -> io::Result<File> {
    File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

/// Returns the last component of the path, padded with at least one NUL byte.
fn name<const N: usize>(path: &Path) -> io::Result<[u8; N]> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.as_bytes();
    let mut field = [0; N];
    field[..N - 1]
        .get_mut(..name.len())
        .ok_or(io::ErrorKind::InvalidFilename)?
        .copy_from_slice(name);
    Ok(field)
}
