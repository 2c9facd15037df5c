//! The system calls that no safe crate has: interface and tun ioctls, KVM, and a child's last
//! steps before exec. All `unsafe` of this crate is here.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::libc;
use nix::sys::signal::SigSet;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::user::VmUser;

/// The longest interface name, without its terminating NUL.
pub(crate) const INTERFACE_NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// From linux/sockios.h; libc has no name for it.
const SIOCBRADDIF: libc::Ioctl = 0x89a2;
/// From linux/kvm.h; libc has no name for it.
const KVM_CREATE_VM: libc::Ioctl = 0xae01;

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

    /// Asks the kernel; its answer is in the data then.
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

/// A socket to speak about interfaces through, in the network namespace of the calling thread.
pub(crate) struct InterfaceSocket(OwnedFd);

impl InterfaceSocket {
    pub(crate) fn open() -> io::Result<InterfaceSocket> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
        let flags = SocketFlags::CLOEXEC;
        Ok(InterfaceSocket(socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?))
    }

    /// Returns the interface's first IPv4 address.
    pub(crate) fn address(&self, name: &str) -> io::Result<[u8; 4]> {
        let mut request = InterfaceRequest::new(name)?;
        request.call(self.0.as_fd(), libc::SIOCGIFADDR)?;
        // `struct sockaddr_in`: family, port, address.
        Ok(request.array(4))
    }

    pub(crate) fn mac(&self, name: &str) -> io::Result<[u8; 6]> {
        let mut request = InterfaceRequest::new(name)?;
        request.call(self.0.as_fd(), libc::SIOCGIFHWADDR)?;
        // `struct sockaddr`: family, address.
        Ok(request.array(2))
    }

    pub(crate) fn set_mac(&self, name: &str, mac: [u8; 6]) -> io::Result<()> {
        let mut request = InterfaceRequest::new(name)?;
        request.put(0, &libc::ARPHRD_ETHER.to_ne_bytes());
        request.put(2, &mac);
        request.call(self.0.as_fd(), libc::SIOCSIFHWADDR)
    }

    pub(crate) fn set_up(&self, name: &str) -> io::Result<()> {
        let mut request = InterfaceRequest::new(name)?;
        request.call(self.0.as_fd(), libc::SIOCGIFFLAGS)?;
        let flags = i16::from_ne_bytes(request.array(0));
        let up = i16::try_from(libc::IFF_UP).expect("IFF_UP is bit 0");
        request.put(0, &(flags | up).to_ne_bytes());
        request.call(self.0.as_fd(), libc::SIOCSIFFLAGS)
    }

    /// Makes the interface `port` a port of `bridge`.
    pub(crate) fn add_to_bridge(&self, bridge: &str, port: &str) -> io::Result<()> {
        let mut index = InterfaceRequest::new(port)?;
        index.call(self.0.as_fd(), libc::SIOCGIFINDEX)?;
        let mut request = InterfaceRequest::new(bridge)?;
        request.put(0, &index.array::<4>(0));
        request.call(self.0.as_fd(), SIOCBRADDIF)
    }
}

/// What a tap's name may stand for when it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TapName {
    /// Nothing yet: the name is taken by a new tap, or the call fails.
    New,
    /// A tap that an earlier process left behind.
    Left,
}

/// Opens the tap `name`, which lives until the last copy of the file descriptor is closed.
pub(crate) fn open_tap(name: &str, expect: TapName) -> io::Result<OwnedFd> {
    let tun = open_device("/dev/net/tun", libc::O_NONBLOCK)?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if expect == TapName::New {
        flags |= libc::IFF_TUN_EXCL;
    }
    let mut request = InterfaceRequest::new(name)?;
    request.put(0, &flags.to_ne_bytes());
    request.call(tun.as_fd(), libc::TUNSETIFF)?;
    Ok(tun.into())
}

/// Lets a tap that was made to outlive its process end with its last file descriptor.
pub(crate) fn make_tap_transient(tap: &OwnedFd) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes an integer and touches no memory of ours; `tap` is open.
    // JUSTIFICATION: nix and rustix have no tun ioctls.
    match unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETPERSIST, 0) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether this kernel makes a virtual machine when asked by us.
pub(crate) fn kvm_makes_machines() -> bool {
    let Ok(kvm) = open_device("/dev/kvm", 0) else { return false };
    // SAFETY: KVM_CREATE_VM takes an integer (the machine type, 0 on x86) and touches no memory of
    // ours; `kvm` is open.
    // JUSTIFICATION: nix and rustix have no KVM ioctls.
    let machine = unsafe { libc::ioctl(kvm.as_raw_fd(), KVM_CREATE_VM, 0) };
    if machine < 0 {
        return false;
    }
    // SAFETY: the call above returned a new file descriptor (always CLOEXEC) that nobody else has.
    // JUSTIFICATION: it must be closed.
    drop(unsafe { OwnedFd::from_raw_fd(machine) });
    true
}

fn open_device(path: &str, flags: libc::c_int) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// What a child becomes before it executes its program.
pub(crate) struct Confinement<'a> {
    /// Its working folder.
    pub(crate) directory: OwnedFd,
    /// Its user.
    pub(crate) user: &'a VmUser,
    /// All that it inherits beside standard input, output and error.
    pub(crate) inherited: Vec<RawFd>,
}

/// Spawns `command` in a session of its own, as that user, with no capability and no way to gain
/// one, and with no other file descriptor than those that it shall have.
pub(crate) fn spawn_confined(
    command: &mut Command,
    confinement: Confinement<'_>,
) -> io::Result<Child> {
    let Confinement { directory, user, inherited } = confinement;
    let identity = Identity::of(user);
    let confine = move || {
        rustix::process::fchdir(&directory)?;
        rustix::process::setsid()?;
        // What our threads block is not QEMU's affair: it uses SIGUSR1 itself.
        SigSet::empty().thread_set_mask()?;
        identity.assume()?;
        rustix::thread::set_no_new_privs(true)?;
        leave_open_only(&inherited)
    };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are allowed:
    // it makes system calls on values that were prepared before the fork, allocates nothing, takes
    // no lock and does not panic.
    // JUSTIFICATION: `Command` itself can change the user, but neither the order of these steps nor
    // the capabilities, and no safe crate runs code between fork and exec.
    unsafe { command.pre_exec(confine) };
    command.spawn()
}

/// The user, groups and capabilities of a child.
struct Identity {
    uid: rustix::process::Uid,
    gid: rustix::process::Gid,
    groups: Vec<rustix::process::Gid>,
    /// False where we are that user already, and no right to change is needed.
    change: bool,
}

impl Identity {
    fn of(user: &VmUser) -> Identity {
        let gid = |gid: &nix::unistd::Gid| rustix::process::Gid::from_raw(gid.as_raw());
        let uid = rustix::process::Uid::from_raw(user.uid());
        Identity {
            uid,
            gid: rustix::process::Gid::from_raw(user.gid()),
            groups: user.groups().iter().map(gid).collect(),
            change: rustix::process::geteuid() != uid,
        }
    }

    /// Becomes that user, for good. Runs in the child: system calls only.
    fn assume(&self) -> io::Result<()> {
        use rustix::thread as t;
        if self.change {
            // The groups and the bounding set first: later there is no right to change them.
            t::set_thread_groups(&self.groups)?;
            drop_bounding_set()?;
            t::set_thread_res_gid(self.gid, self.gid, self.gid)?;
            t::set_thread_res_uid(self.uid, self.uid, self.uid)?;
        }
        let none = CapabilitySet::empty();
        // The inheritable set first limits the ambient one: clearing it clears both.
        t::set_capabilities(
            None,
            CapabilitySets { effective: none, permitted: none, inheritable: none },
        )?;
        Ok(())
    }
}

/// Takes every capability that the kernel knows out of the bounding set.
fn drop_bounding_set() -> io::Result<()> {
    for bit in 0..u64::BITS {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << bit,
        )) {
            Ok(()) => {}
            // The kernel knows no further capability.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Marks everything above standard error to be closed by exec, but for `inherited`.
fn leave_open_only(inherited: &[RawFd]) -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC the call closes nothing and touches no memory.
    // JUSTIFICATION: musl has no close_range; nix and rustix have none at all.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    for fd in inherited {
        // SAFETY: F_SETFD takes an integer and touches no memory; a closed number is an error.
        // JUSTIFICATION: the numbers are on the command line already, so they are raw here.
        if unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
