//! The system call that no safe crate has.

#![allow(unsafe_code, reason = "unsafe code is in files of this name (I9)")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;

/// Opens the existing tap `name`, in the calling thread's network namespace.
pub(crate) fn open_tap(name: &str) -> io::Result<OwnedFd> {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: a `struct ifreq` consists of integers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    assert!(name.len() < libc::IFNAMSIZ);
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = flags.try_into().map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which outlives the call; the file
    // descriptor is open.
    match unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0.. => Ok(tun.into()),
        _ => Err(io::Error::last_os_error()),
    }
}
