//! Files that get their name when they are complete.

use std::ffi::{CStr, CString};
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::libc;
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, fsync, linkat, unlinkat};

use crate::protocol::TEMPORARY_PREFIX;

/// The maximum depth of folders, and number of entries, that a sweep looks at.
const MAX_DEPTH: u32 = 32;
const MAX_ENTRIES: usize = 1 << 20;

/// A file that is written, in the file system of its folder (T27).
///
/// It has no name (`O_TMPFILE` of open(2)) where the file system has such files, so that nothing is
/// left of it when the process is killed. Elsewhere it has a random name and is locked by flock(2):
/// the next start removes such files that are not locked.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    folder: OwnedFd,
    /// Its name until it is published.
    temporary: Option<String>,
}

/// What becomes of an older file of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Older {
    /// It is replaced, in one step.
    Replaced,
    /// It is kept, and the new one gets no name.
    Kept,
}

impl NewFile {
    /// Creates a file of which nothing is visible in `folder`.
    pub(super) fn create(folder: OwnedFd, mode: Mode) -> nix::Result<Self> {
        let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        match openat(&folder, ".", flags, mode) {
            Ok(file) if may_be_linked(&file) => {
                Ok(Self { file: file.into(), folder, temporary: None })
            }
            // The file system, or the kernel, has no files without a name.
            Ok(_) | Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL | Errno::ENOSYS) => {
                Self::create_named(folder, mode)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Creates a file with a temporary name.
    fn create_named(folder: OwnedFd, mode: Mode) -> nix::Result<Self> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        loop {
            let name = temporary_name();
            let file = match openat(&folder, name.as_str(), flags, mode) {
                Err(Errno::EEXIST) => continue,
                result => File::from(result?),
            };
            // A sweep of another process may have taken it between the two calls.
            if is_locked_for_us(&file) && fstat(&file)?.st_nlink > 0 {
                return Ok(Self { file, folder, temporary: Some(name) });
            }
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// Gives the file its name. It is to be synchronized before, and its folder after that.
    pub(super) fn publish(&mut self, name: &CStr, older: Older) -> nix::Result<()> {
        if self.temporary.is_some() {
            self.rename(name, older)?;
        } else {
            match (link(&self.file, &self.folder, name), older) {
                // link(2) replaces no file, and rename(2) needs a name.
                (Err(Errno::EEXIST), Older::Replaced) => {
                    self.name_temporarily()?;
                    self.rename(name, older)?;
                }
                (result, _) => result?,
            }
        }
        Ok(())
    }

    /// Makes the name durable.
    pub(super) fn sync_folder(&self) -> nix::Result<()> {
        fsync(&self.folder)
    }

    fn name_temporarily(&mut self) -> nix::Result<()> {
        // Without the lock, a sweep of another process would remove the name.
        is_locked_for_us(&self.file);
        loop {
            let name = temporary_name();
            let c_name = CString::new(name.as_str()).map_err(|_| Errno::EINVAL)?;
            match link(&self.file, &self.folder, &c_name) {
                Err(Errno::EEXIST) => {}
                result => {
                    result?;
                    self.temporary = Some(name);
                    return Ok(());
                }
            }
        }
    }

    fn rename(&mut self, name: &CStr, older: Older) -> nix::Result<()> {
        let flags = match older {
            Older::Replaced => RenameFlags::empty(),
            Older::Kept => RenameFlags::RENAME_NOREPLACE,
        };
        if let Some(temporary) = &self.temporary {
            renameat2(&self.folder, temporary.as_str(), &self.folder, name, flags)?;
            self.temporary = None;
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary
            && let Err(errno) = unlinkat(&self.folder, name.as_str(), UnlinkatFlags::NoRemoveDir)
        {
            log::debug!("cannot remove unfinished file {name}: {errno}");
        }
    }
}

/// A name that no other file has, in this process or another: 128 random bits.
fn temporary_name() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{TEMPORARY_PREFIX}{:016x}{:016x}", random(), random())
}

/// Returns whether a name is a temporary one, of this version or of an earlier one, which used the
/// process's ID and a number.
fn is_temporary(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(TEMPORARY_PREFIX.as_bytes()) else { return false };
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == b'-').collect();
    match parts[..] {
        [random] => random.len() == 32 && random.iter().all(u8::is_ascii_hexdigit),
        [process, number] => is_number(process) && is_number(number),
        _ => false,
    }
}

/// Takes the lock that marks a file as in use, until it is closed. Where the file system has no
/// locks, a sweep takes none either, and removes nothing.
fn is_locked_for_us(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Gives a file without a name its first one.
fn link(file: &File, folder: &OwnedFd, name: &CStr) -> nix::Result<()> {
    match linkat(file, "", folder, name, AtFlags::AT_EMPTY_PATH) {
        // This needs CAP_DAC_READ_SEARCH (open(2)).
        Err(Errno::ENOENT) => {}
        result => return result,
    }
    linkat(AT_FDCWD, path_of(file).as_str(), folder, name, AtFlags::AT_SYMLINK_FOLLOW)
}

fn path_of(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

fn may_be_linked(file: &OwnedFd) -> bool {
    nix::unistd::geteuid().is_root()
        || fstatat(AT_FDCWD, path_of(file).as_str(), AtFlags::empty()).is_ok()
}

/// Removes the temporary files beneath a folder that no process has locked: what processes have
/// left that were killed (T27). It neither follows links nor enters other file systems.
pub(super) fn sweep(folder: &OwnedFd) {
    let mut left = MAX_ENTRIES;
    if let Ok(found) = fstat(folder) {
        sweep_folder(folder, c".", found.st_dev, &mut left, MAX_DEPTH);
    }
}

fn sweep_folder(parent: impl AsFd, name: &CStr, device: libc::dev_t, left: &mut usize, depth: u32) {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Ok(mut folder) = Dir::openat(parent, name, flags, Mode::empty()) else { return };
    if fstat(&folder).map_or(true, |found| found.st_dev != device) {
        return;
    }
    let entries: Vec<_> = folder.iter().flatten().take(*left).collect();
    *left -= entries.len();
    for entry in entries {
        let name = entry.file_name();
        match entry.file_type() {
            Some(Type::File) | None if is_temporary(name.to_bytes()) => {
                if let Err(error) = remove_unlocked(&folder, name) {
                    log::debug!(
                        "cannot remove unfinished file {}: {error}",
                        name.to_string_lossy()
                    );
                }
            }
            Some(Type::Directory) | None
                if depth > 0 && !matches!(name.to_bytes(), b"." | b"..") =>
            {
                sweep_folder(&folder, name, device, left, depth - 1);
            }
            _ => {}
        }
    }
}

fn remove_unlocked(folder: &Dir, name: &CStr) -> io::Result<()> {
    // NFS locks only files that are open for writing (flock(2)).
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    match file.try_lock() {
        Ok(()) if file.metadata()?.is_file() => {
            Ok(unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?)
        }
        // It is being written.
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Write;

    use super::*;

    fn open(path: &std::path::Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    fn names(path: &std::path::Path) -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap();
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    type Create = fn(OwnedFd, Mode) -> nix::Result<NewFile>;

    const BOTH: [Create; 2] = [NewFile::create, NewFile::create_named];

    /// T27: a file without a name, and one with a temporary name, get their name in one step, or
    /// leave nothing; an older file is replaced, or kept.
    #[test]
    fn files_are_published() {
        for (number, create) in BOTH.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path();
            let make = |content: &[u8]| {
                let new = create(open(path), Mode::from_bits_truncate(0o644)).unwrap();
                new.file().write_all(content).unwrap();
                assert_eq!(names(path).iter().filter(|n| n.starts_with(".bbot")).count(), number);
                new
            };
            drop(make(b"nothing"));
            assert_eq!(names(path), [] as [&str; 0]);
            make(b"one").publish(c"file", Older::Kept).unwrap();
            assert_eq!(make(b"two").publish(c"file", Older::Kept), Err(Errno::EEXIST));
            assert_eq!(std::fs::read(path.join("file")).unwrap(), b"one");
            make(b"three").publish(c"file", Older::Replaced).unwrap();
            make(b"four").publish(c"other", Older::Replaced).unwrap();
            assert_eq!(std::fs::read(path.join("file")).unwrap(), b"three");
            std::fs::create_dir(path.join("folder")).unwrap();
            make(b"five").publish(c"folder", Older::Replaced).unwrap_err();
            assert_eq!(names(path), ["file", "folder", "other"]);
        }
    }

    /// T27: names are not used twice, and files that are in use are not swept.
    #[test]
    fn a_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("sub")).unwrap();
        let random = format!("{TEMPORARY_PREFIX}{}", "0a".repeat(16));
        let left = [".bbot-tftp-1-0", random.as_str(), "sub/.bbot-tftp-4194304-17"];
        let kept = [
            ".bbot-tftp-",
            ".bbot-tftp-notes",
            ".bbot-tftp-1-x",
            ".bbot-tftp-1-2-3",
            "bbot-tftp-1-2",
            "file",
        ];
        for name in left.iter().chain(&kept) {
            std::fs::write(path.join(name), "content").unwrap();
        }
        std::fs::create_dir(path.join(".bbot-tftp-5-5")).unwrap();
        std::os::unix::fs::symlink("file", path.join(".bbot-tftp-6-6")).unwrap();
        let mode = Mode::from_bits_truncate(0o644);
        let mut live = NewFile::create_named(open(&path.join("sub")), mode).unwrap();
        sweep(&open(path));
        let expected: HashSet<String> = kept
            .iter()
            .chain(&["sub", ".bbot-tftp-5-5", ".bbot-tftp-6-6"])
            .map(ToString::to_string)
            .collect();
        assert_eq!(names(path).into_iter().collect::<HashSet<_>>(), expected);
        assert_eq!(names(&path.join("sub")), [live.temporary.clone().unwrap()]);
        live.publish(c"live", Older::Kept).unwrap();
        assert_eq!(names(&path.join("sub")), ["live"]);
        assert_eq!((0..1000).map(|_| temporary_name()).collect::<HashSet<_>>().len(), 1000);
        assert!(is_temporary(temporary_name().as_bytes()));
    }
}
