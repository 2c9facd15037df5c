//! The system calls that no safe crate has: the ioctls of network interfaces, bridges and taps.

#![allow(unsafe_code, reason = "unsafe code is in files of this name (I9)")]

use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::mac_address::MacAddress;

/// The longest interface name, without its terminating NUL.
pub(super) const INTERFACE_NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// From linux/sockios.h; libc has no name for it.
const SIOCBRADDIF: libc::Ioctl = 0x89a2;

/// `struct ifreq` with its union as plain bytes.
#[repr(C, align(8))]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    data: [u8; 24],
}

const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());
const _: () = assert!(align_of::<InterfaceRequest>() == align_of::<libc::ifreq>());

impl InterfaceRequest {
    fn new(name: &str) -> io::Result<InterfaceRequest> {
        if name.is_empty() || name.len() > INTERFACE_NAME_MAX || name.contains('\0') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], data: [0; 24] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }

    /// Makes the call; the kernel writes its answer into the data.
    fn call(&mut self, fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<()> {
        loop {
            // SAFETY: every request of this file takes a pointer to one `struct ifreq`, whose size
            // and alignment are asserted above, and writes nothing beyond it; `fd` is open.
            // JUSTIFICATION: nix and rustix have none of these ioctls.
            let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut *self) };
            if result >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.data[offset..offset + N].try_into().expect("offset and length are constants in range")
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.data[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// A socket for the ioctls of interfaces, in the network namespace of the calling thread.
pub(super) struct InterfaceSocket(OwnedFd);

impl InterfaceSocket {
    pub(super) fn open() -> io::Result<InterfaceSocket> {
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(InterfaceSocket(socket(AddressFamily::Inet, SockType::Datagram, flags, None)?))
    }

    /// Returns the interface's first IPv4 address.
    pub(super) fn address(&self, name: &str) -> io::Result<Ipv4Addr> {
        let mut request = InterfaceRequest::new(name)?;
        request.call(self.0.as_fd(), libc::SIOCGIFADDR)?;
        // `struct sockaddr_in`: family, port, address.
        Ok(Ipv4Addr::from(request.array::<4>(4)))
    }

    pub(super) fn mac(&self, name: &str) -> io::Result<MacAddress> {
        let mut request = InterfaceRequest::new(name)?;
        request.call(self.0.as_fd(), libc::SIOCGIFHWADDR)?;
        // `struct sockaddr`: family, address.
        Ok(MacAddress::new(request.array(2)))
    }

    pub(super) fn set_mac(&self, name: &str, mac: MacAddress) -> io::Result<()> {
        let mut request = InterfaceRequest::new(name)?;
        request.put(0, &libc::ARPHRD_ETHER.to_ne_bytes());
        request.put(2, &mac.octets());
        request.call(self.0.as_fd(), libc::SIOCSIFHWADDR)
    }

    pub(super) fn set_up(&self, name: &str) -> io::Result<()> {
        let mut request = InterfaceRequest::new(name)?;
        request.call(self.0.as_fd(), libc::SIOCGIFFLAGS)?;
        let flags = i16::from_ne_bytes(request.array(0));
        let up = i16::try_from(libc::IFF_UP).expect("IFF_UP is bit 0");
        request.put(0, &(flags | up).to_ne_bytes());
        request.call(self.0.as_fd(), libc::SIOCSIFFLAGS)
    }

    /// Makes the interface `port` a port of `bridge`.
    pub(super) fn add_to_bridge(&self, bridge: &str, port: &str) -> io::Result<()> {
        let mut index = InterfaceRequest::new(port)?;
        index.call(self.0.as_fd(), libc::SIOCGIFINDEX)?;
        let mut request = InterfaceRequest::new(bridge)?;
        request.put(0, &index.array::<4>(0));
        request.call(self.0.as_fd(), SIOCBRADDIF)
    }
}

/// Whether a tap is created or opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TapName {
    /// It is created; the call fails if there is an interface of that name.
    New,
    /// It is a persistent one, which an earlier process has left.
    Left,
}

/// Opens the tap `name`. A new one exists until the last copy of the file descriptor is closed.
pub(super) fn open_tap(name: &str, expect: TapName) -> io::Result<OwnedFd> {
    let tun = open_tun()?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if expect == TapName::New {
        flags |= libc::IFF_TUN_EXCL;
    }
    let mut request = InterfaceRequest::new(name)?;
    request.put(0, &flags.to_ne_bytes());
    request.call(tun.as_fd(), libc::TUNSETIFF)?;
    Ok(tun.into())
}

/// Makes a persistent tap end with its last file descriptor.
pub(super) fn make_tap_transient(tap: &OwnedFd) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes an integer and touches no memory of ours; `tap` is open.
    // JUSTIFICATION: nix and rustix have no tun ioctls.
    match unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETPERSIST, 0) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn open_tun() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")
}
