//! The tun ioctl, for which there is no safe wrapper.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use nix::libc;

/// Makes the tap `name` in the calling thread's network namespace; it exists until the file is
/// closed. Each frame is preceded by a `struct virtio_net_hdr`, as on a hypervisor's tap.
#[expect(unsafe_code, reason = "neither nix nor rustix has the tun ioctls")]
pub(super) fn open_tap(name: &str) -> io::Result<File> {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: a `struct ifreq` of zeros is a valid one: it is made of integers alone.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = flags.try_into().map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which outlives the call; the file
    // descriptor is open.
    match unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0.. => Ok(tun),
        _ => Err(io::Error::last_os_error()),
    }
}
