//! The system calls that no safe crate has: KVM, and a child's last steps before exec.

#![allow(unsafe_code, reason = "unsafe code is in files of this name (I9)")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::libc;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::signal::SigSet;
use nix::unistd::{fchdir, geteuid, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::user::VmUser;

/// From linux/kvm.h; libc has no name for it.
const KVM_CREATE_VM: libc::Ioctl = 0xae01;

/// Whether this kernel creates a virtual machine for the calling process.
pub(super) fn kvm_creates_machines() -> bool {
    let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    let Ok(kvm) = kvm else { return false };
    // SAFETY: KVM_CREATE_VM takes an integer (the machine type, 0 on x86) and touches no memory of
    // ours; `kvm` is open.
    // JUSTIFICATION: nix and rustix have no KVM ioctls.
    let machine = unsafe { libc::ioctl(kvm.as_raw_fd(), KVM_CREATE_VM, 0) };
    if machine < 0 {
        return false;
    }
    // SAFETY: the call above returned a new file descriptor (always CLOEXEC), which has no other
    // owner.
    // JUSTIFICATION: it must be closed.
    drop(unsafe { OwnedFd::from_raw_fd(machine) });
    true
}

/// What a child process is confined to before it executes its program.
pub(super) struct Confinement<'a> {
    /// The working folder.
    pub(super) directory: OwnedFd,
    pub(super) user: &'a VmUser,
    /// The file descriptors that it inherits besides standard input, output and error.
    pub(super) inherited: Vec<RawFd>,
}

/// Spawns `command` in a session of its own, as that user, without capabilities and without a way
/// to gain any, and without any other file descriptor than those of `confinement`.
pub(super) fn spawn_confined(
    command: &mut Command,
    confinement: Confinement<'_>,
) -> io::Result<Child> {
    let Confinement { directory, user, inherited } = confinement;
    let identity = Identity::of(user);
    let confine = move || {
        fchdir(&directory)?;
        setsid()?;
        // The signals that our threads block must reach QEMU: it uses SIGUSR1 itself.
        SigSet::empty().thread_set_mask()?;
        identity.assume()?;
        set_no_new_privs()?;
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

/// The user, groups and capabilities of a child process.
///
/// They are changed through rustix, which calls the kernel directly and takes no lock: a child
/// between fork and exec must not. nix calls the C library, whose functions synchronize all
/// threads, and has no capabilities.
struct Identity {
    uid: rustix::process::Uid,
    gid: rustix::process::Gid,
    groups: Vec<rustix::process::Gid>,
    /// False where we are that user already: then no capability is needed.
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
            change: geteuid().as_raw() != user.uid(),
        }
    }

    /// Makes the calling process run as that user, irrevocably. Makes system calls only, because it
    /// runs in the child.
    fn assume(&self) -> io::Result<()> {
        use rustix::thread as t;
        if self.change {
            // The groups and the bounding set first: afterwards the capability to change them is
            // gone.
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

/// Removes every capability that the kernel knows from the bounding set.
fn drop_bounding_set() -> io::Result<()> {
    for bit in 0..u64::BITS {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << bit,
        )) {
            Ok(()) => {}
            // There is no further capability.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Marks every file descriptor above standard error, except `inherited`, to be closed by exec.
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
