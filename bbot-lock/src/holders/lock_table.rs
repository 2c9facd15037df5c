//! The kernel's table of locks.
//!
//! The tables are parsed here and not by the crate procfs (0.18), because it drops the mark `->`,
//! by which a process that waits for a lock differs from its holder, and because one line that it
//! cannot parse, such as that of a lock without an inode (`<none>:0`), makes all of `/proc/locks`
//! unreadable.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;

use crate::Error;

/// A file as `/proc/locks` names it: the major and minor number of the device of its file system,
/// and its inode number.
///
/// On btrfs this is not the device that `stat(2)` returns, which is that of the subvolume; it is
/// the one of the mount.
type FileKey = (u32, u32, u64);

/// Whether a file is locked, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockStatus {
    /// No process has an exclusive `flock(2)` lock on the file, or the file does not exist.
    Unlocked,
    /// The process with this pid took the lock.
    LockedBy(i32),
    /// The status could not be determined.
    Unknown,
}

/// The exclusive `flock(2)` locks of the host at one moment.
///
/// The default value is a table that could not be read: for an existing file, its answer is always
/// [`LockStatus::Unknown`].
#[derive(Clone, Debug, Default)]
pub struct LockTable {
    /// The pids of the holders. `None`: the table could not be read.
    holders: Option<HashMap<FileKey, i32>>,
    /// The device numbers of each mount, by the mount's id.
    devices: HashMap<u64, (u32, u32)>,
}

impl LockTable {
    /// Reads the table from `/proc/locks` and `/proc/self/mountinfo`.
    ///
    /// # Errors
    ///
    /// [`Error::KernelTable`] if one of the files cannot be read. A line in them that is not
    /// understood is skipped.
    pub fn read() -> Result<Self, Error> {
        let holders = Some(parse_locks(&read_table("/proc/locks")?));
        Ok(Self { holders, devices: parse_mounts(&read_table("/proc/self/mountinfo")?) })
    }

    /// Returns whether the file was locked when the table was read. A symbolic link is followed.
    pub fn status(&self, file: &Path) -> LockStatus {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let found = match statx(CWD, file, AtFlags::empty(), wanted) {
            Ok(found) => found,
            Err(Errno::NOENT) => return LockStatus::Unlocked,
            Err(_) => return LockStatus::Unknown,
        };
        let device = self.devices.get(&found.stx_mnt_id);
        let (Some(holders), Some((major, minor))) = (&self.holders, device) else {
            return LockStatus::Unknown;
        };
        let holder = holders.get(&(*major, *minor, found.stx_ino));
        holder.map_or(LockStatus::Unlocked, |pid| LockStatus::LockedBy(*pid))
    }
}

/// Reads a file of procfs. Paths in it need not be UTF-8.
fn read_table(path: &str) -> Result<String, Error> {
    let bytes =
        fs::read(path).map_err(|source| Error::KernelTable { path: path.into(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Parses lines like `1: FLOCK  ADVISORY  WRITE 4242 00:2f:257 0 EOF`; after the number, `->` marks
/// a process that waits for the lock.
fn parse_locks(text: &str) -> HashMap<FileKey, i32> {
    let lock = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words[..] else { return None };
        let mut parts = file.split(':');
        let (major, minor, inode) = (parts.next()?, parts.next()?, parts.next()?);
        let device = |hex| u32::from_str_radix(hex, 16).ok();
        Some(((device(major)?, device(minor)?, inode.parse().ok()?), pid.parse().ok()?))
    };
    text.lines().filter_map(lock).collect()
}

/// Parses lines like `36 25 0:47 / /machines rw,relatime shared:1 - btrfs /dev/sda1 rw`:
/// the mount's id, and the device numbers of its file system.
fn parse_mounts(text: &str) -> HashMap<u64, (u32, u32)> {
    let mount = |line: &str| {
        let mut words = line.split(' ');
        let id = words.next()?.parse().ok()?;
        let (major, minor) = words.nth(1)?.split_once(':')?;
        Some((id, (major.parse().ok()?, minor.parse().ok()?)))
    };
    text.lines().filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn locks_and_mounts_are_parsed() {
        let locks = parse_locks(
            "1: FLOCK  ADVISORY  WRITE 4242 00:2f:257 0 EOF\n\
             1: -> FLOCK  ADVISORY  WRITE 4243 00:2f:257 0 EOF\n\
             2: POSIX  ADVISORY  WRITE 7 00:2f:300 0 EOF\n\
             3: FLOCK  ADVISORY  READ 8 00:2f:301 0 EOF\n\
             4: FLOCK  ADVISORY  WRITE 9 103:02:18446744073709551615 0 EOF\n\
             5: FLOCK  ADVISORY  WRITE 10 <none>:0 0 EOF\n\
             rubbish\n",
        );
        let expected = [((0, 0x2f, 257), 4242), ((0x103, 2, u64::MAX), 9)];
        assert_eq!(locks, HashMap::from(expected));
        let mounts = parse_mounts(
            "36 25 0:47 / /build/machines/default rw,relatime shared:1 - btrfs /dev/sda1 rw\n\
             25 1 259:2 / / rw - ext4 /dev/root rw\nrubbish\n",
        );
        assert_eq!(mounts, HashMap::from([(36, (0, 47)), (25, (259, 2))]));
    }

    /// W43: a lock is seen without one being taken.
    #[test]
    fn a_lock_of_this_process_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let status = || LockTable::read().unwrap().status(&path);
        assert_eq!(status(), LockStatus::Unlocked);
        let file = File::create(&path).unwrap();
        assert_eq!(status(), LockStatus::Unlocked);
        file.lock().unwrap();
        let this_process = i32::try_from(std::process::id()).unwrap();
        assert_eq!(status(), LockStatus::LockedBy(this_process));
        file.unlock().unwrap();
        assert_eq!(status(), LockStatus::Unlocked);
        assert_eq!(LockTable::default().status(&path), LockStatus::Unknown);
    }

    /// A table that cannot be read is named.
    #[test]
    fn an_error_names_the_table() {
        let error = read_table("/proc/no-such-table").unwrap_err();
        assert_eq!(error.to_string(), "cannot read /proc/no-such-table");
    }
}
