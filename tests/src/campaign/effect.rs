//! What a process changes outside of itself, derived from its system calls (x86-64).

use std::fs::File;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::libc::{self, c_long};
use nix::unistd::Pid;

/// The longest path that is read from a process.
const PATH_MAX: usize = 4096;

/// The ioctl type of btrfs.
const BTRFS: u64 = 0x94;
/// The btrfs ioctls that change something: `SNAP_CREATE`, `SUBVOL_CREATE`, `SNAP_DESTROY`,
/// `SNAP_CREATE_V2`, `SUBVOL_CREATE_V2`, `SUBVOL_SETFLAGS`, `SNAP_DESTROY_V2`.
const BTRFS_CHANGES: [u64; 7] = [1, 14, 15, 23, 24, 26, 63];
/// `TUNSETIFF`, `SIOCSIFFLAGS`, `SIOCSIFHWADDR`, `SIOCBRADDIF`.
const INTERFACE_CHANGES: [(u64, &str); 4] = [
    (0x4004_54ca, "tap"),
    (0x8914, "interface up"),
    (0x8924, "hardware address"),
    (0x89a2, "port"),
];

/// A thread that is about to make a system call.
#[derive(Debug)]
pub(super) struct Call {
    /// The thread.
    pub(super) thread: Pid,
    /// The call's number.
    pub(super) number: c_long,
    /// Its arguments.
    pub(super) arguments: [u64; 6],
}

impl Call {
    /// Describes what the call changes outside of the process; `None` if that is nothing.
    pub(super) fn effect(&self) -> Option<String> {
        let [first, second, third, fourth, ..] = self.arguments;
        let of_file = |verb: &str| Some(format!("{verb} {}", self.file(first)?.display()));
        let of_path = |verb: &str, folder, path| {
            Some(format!("{verb} {}", self.path(folder, path)?.display()))
        };
        let here = AT_FDCWD;
        match self.number {
            libc::SYS_openat if third & CREATES != 0 => of_path("create", first, second),
            libc::SYS_mkdir => of_path("mkdir", here, first),
            libc::SYS_mkdirat => of_path("mkdir", first, second),
            libc::SYS_unlink | libc::SYS_rmdir => of_path("remove", here, first),
            libc::SYS_unlinkat => of_path("remove", first, second),
            libc::SYS_rename => self.rename((here, first), (here, second)),
            libc::SYS_renameat | libc::SYS_renameat2 => {
                self.rename((first, second), (third, fourth))
            }
            libc::SYS_linkat => of_path("link", third, fourth),
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev => self.write(first),
            libc::SYS_fsync | libc::SYS_fdatasync => of_file("fsync"),
            libc::SYS_ftruncate => of_file("truncate"),
            libc::SYS_fchown => of_file("chown"),
            libc::SYS_fchmod => of_file("chmod"),
            libc::SYS_flock => of_file("flock"),
            libc::SYS_ioctl => self.ioctl(first, second),
            libc::SYS_bind => of_file("bind"),
            libc::SYS_connect => of_file("connect"),
            libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg => of_file("send"),
            libc::SYS_vfork | libc::SYS_fork => Some("spawn".to_owned()),
            libc::SYS_clone if first & THREAD == 0 => Some("spawn".to_owned()),
            libc::SYS_clone3 if self.word(first)? & THREAD == 0 => Some("spawn".to_owned()),
            libc::SYS_pidfd_send_signal => Some(format!("signal {second}")),
            _ => None,
        }
    }

    fn rename(&self, from: (u64, u64), to: (u64, u64)) -> Option<String> {
        let (from, to) = (self.path(from.0, from.1)?, self.path(to.0, to.1)?);
        Some(format!("rename {} {}", from.display(), to.display()))
    }

    /// Standard output and error do not count, nor descriptors that only its threads share.
    fn write(&self, fd: u64) -> Option<String> {
        let target = self.file(fd).filter(|_| fd > 2)?;
        let inner = target.as_os_str().as_encoded_bytes().starts_with(b"anon_inode:");
        (!inner).then(|| format!("write {}", target.display()))
    }

    fn ioctl(&self, fd: u64, request: u64) -> Option<String> {
        let request = request & u64::from(u32::MAX);
        if (request >> 8) & 0xff == BTRFS && BTRFS_CHANGES.contains(&(request & 0xff)) {
            return Some(format!("subvolume {} {}", request & 0xff, self.file(fd)?.display()));
        }
        let change = INTERFACE_CHANGES.into_iter().find(|(number, _)| *number == request);
        change.map(|(_, name)| format!("set {name}"))
    }

    /// The file that a descriptor refers to.
    fn file(&self, fd: u64) -> Option<PathBuf> {
        let fd = signed(fd);
        std::fs::read_link(format!("/proc/{}/fd/{fd}", self.thread)).ok()
    }

    /// The path at `address`, relative to the folder that the descriptor `folder` refers to.
    fn path(&self, folder: u64, address: u64) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(address)?);
        if path.is_absolute() || signed(folder) == libc::AT_FDCWD {
            return Some(path);
        }
        Some(self.file(folder)?.join(path))
    }

    fn text(&self, address: u64) -> Option<String> {
        let mut bytes = vec![0; PATH_MAX];
        let count = self.memory()?.read_at(&mut bytes, address).ok()?;
        let text = bytes[..count].split(|&byte| byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.memory()?.read_exact_at(&mut bytes, address).ok()?;
        Some(u64::from_ne_bytes(bytes))
    }

    fn memory(&self) -> Option<File> {
        File::open(Path::new("/proc").join(self.thread.to_string()).join("mem")).ok()
    }
}

/// `AT_FDCWD` as the kernel sees it in a register.
const AT_FDCWD: u64 = 0xffff_ff9c;
/// `O_CREAT`.
const CREATES: u64 = 0o100;
/// `CLONE_THREAD`.
const THREAD: u64 = 0x1_0000;

/// A descriptor is an `int`: the upper half of the register is ignored.
fn signed(register: u64) -> RawFd {
    let bytes = register.to_le_bytes();
    RawFd::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_the_lower_half_of_a_register() {
        assert_eq!(signed(AT_FDCWD), libc::AT_FDCWD);
        assert_eq!(signed(u64::MAX - 99), libc::AT_FDCWD);
        assert_eq!(signed(7), 7);
    }

    /// Calls of this process, which can read its own memory without a tracer.
    #[test]
    fn effects_are_described_with_their_files() {
        let call = |number, arguments: [u64; 4]| {
            let [first, second, third, fourth] = arguments;
            let arguments = [first, second, third, fourth, 0, 0];
            Call { thread: nix::unistd::gettid(), number, arguments }.effect()
        };
        let path = c"/a/b";
        let path = path.as_ptr() as u64;
        let create = u64::try_from(libc::O_CREAT | libc::O_WRONLY).unwrap();
        assert_eq!(call(libc::SYS_openat, [AT_FDCWD, path, create, 0]).unwrap(), "create /a/b");
        assert_eq!(call(libc::SYS_openat, [AT_FDCWD, path, 0, 0]), None);
        assert_eq!(
            call(libc::SYS_renameat2, [AT_FDCWD, path, AT_FDCWD, path]).unwrap(),
            "rename /a/b /a/b"
        );
        assert_eq!(call(libc::SYS_linkat, [AT_FDCWD, path, AT_FDCWD, path]).unwrap(), "link /a/b");
        let file = File::open("/dev/zero").unwrap();
        let fd = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
        assert_eq!(call(libc::SYS_fsync, [fd, 0, 0, 0]).unwrap(), "fsync /dev/zero");
        assert_eq!(call(libc::SYS_write, [2, 0, 0, 0]), None);
        assert_eq!(
            call(libc::SYS_ioctl, [fd, 0x5000_940f, 0, 0]).unwrap(),
            "subvolume 15 /dev/zero"
        );
        assert_eq!(call(libc::SYS_ioctl, [fd, 0x5401, 0, 0]), None);
        assert_eq!(call(libc::SYS_clone, [THREAD, 0, 0, 0]), None);
        assert_eq!(call(libc::SYS_clone, [0, 0, 0, 0]).unwrap(), "spawn");
        assert_eq!(call(libc::SYS_read, [fd, 0, 0, 0]), None);
    }
}
