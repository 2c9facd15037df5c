//! Which files are locked, and by whom, as the kernel tells everybody in `/proc/locks`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::Problems;

/// A file as the kernel names it there: the device of its file system, and its inode.
///
/// On btrfs the device is not the one that `stat` tells, which is the subvolume's own: it is that
/// of the mount.
type Key = (u32, u32, u64);

/// Who has a file locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockedBy {
    /// Nobody, or there is no such file.
    Nobody,
    /// This process.
    Process(i32),
    /// That cannot be found out.
    Unknown,
}

/// The locks of flock(2) that are held now, and the devices of the mounts.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// None if nobody can tell.
    holders: Option<HashMap<Key, i32>>,
    mounts: HashMap<u64, (u32, u32)>,
}

impl Locks {
    pub(super) fn read(problems: &mut Problems) -> Self {
        let mut read = |path: &str| {
            let text = File::open(path).and_then(io::read_to_string);
            problems.keep(Path::new(path), text)
        };
        let holders = read("/proc/locks").map(|text| parse_locks(&text));
        let mounts = read("/proc/self/mountinfo").map(|text| parse_mounts(&text));
        Self { holders, mounts: mounts.unwrap_or_default() }
    }

    /// Returns who has the file locked.
    pub(super) fn holder(&self, file: &Path) -> LockedBy {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let found = match statx(CWD, file, AtFlags::empty(), wanted) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOENT) => return LockedBy::Nobody,
            Err(_) => return LockedBy::Unknown,
        };
        let mount = self.mounts.get(&found.stx_mnt_id);
        let (Some(holders), Some((major, minor))) = (&self.holders, mount) else {
            return LockedBy::Unknown;
        };
        let holder = holders.get(&(*major, *minor, found.stx_ino));
        holder.map_or(LockedBy::Nobody, |pid| LockedBy::Process(*pid))
    }
}

/// Lines like `1: FLOCK  ADVISORY  WRITE 4242 00:2f:257 0 EOF`; `->` marks one who waits.
fn parse_locks(text: &str) -> HashMap<Key, i32> {
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

/// Lines like `36 25 0:47 / /build/machines/default rw,relatime shared:1 - btrfs /dev/sda1 rw`:
/// the mount's id and the device of its file system.
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
    use super::*;

    #[test]
    fn locks_and_mounts_are_parsed() {
        let locks = parse_locks(
            "1: FLOCK  ADVISORY  WRITE 4242 00:2f:257 0 EOF\n\
             1: -> FLOCK  ADVISORY  WRITE 4243 00:2f:257 0 EOF\n\
             2: POSIX  ADVISORY  WRITE 7 00:2f:300 0 EOF\n\
             3: FLOCK  ADVISORY  READ 8 00:2f:301 0 EOF\n\
             4: FLOCK  ADVISORY  WRITE 9 103:02:18446744073709551615 0 EOF\n\
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
        let mut problems = Problems::default();
        let holder = |problems: &mut Problems| Locks::read(problems).holder(&path);
        assert_eq!(holder(&mut problems), LockedBy::Nobody);
        let file = File::create(&path).unwrap();
        assert_eq!(holder(&mut problems), LockedBy::Nobody);
        file.lock().unwrap();
        let ourselves = i32::try_from(std::process::id()).unwrap();
        assert_eq!(holder(&mut problems), LockedBy::Process(ourselves));
        file.unlock().unwrap();
        assert_eq!(holder(&mut problems), LockedBy::Nobody);
        assert!(problems.0.is_empty(), "{problems:?}");
        assert_eq!(Locks::default().holder(&path), LockedBy::Unknown);
    }
}
