//! Common to all lock files: a lock counts only on the file that the path names.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::{Acquired, Error, flock};

/// How many times a file may be replaced during one call. Only the release of a machine lock
/// replaces one, and a new lock is not taken without the host lock, so one repetition is usual.
const ATTEMPTS: u32 = 100;

/// A locked file that stays on disk when it is unlocked.
#[derive(Debug)]
pub(crate) struct KeptLock(File);

impl KeptLock {
    /// Waits for the lock.
    pub(crate) fn acquire(path: &Path) -> Result<Self, Error> {
        attempts(path, || {
            let Some(file) = open_kept(path)? else { return Ok(None) };
            flock::lock(&file).map_err(Error::io("lock", path))?;
            Ok(is_current(&file, path)?.then_some(Self(file)))
        })
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_acquire(path: &Path) -> Result<Acquired<Self>, Error> {
        attempts(path, || {
            let Some(file) = open_kept(path)? else { return Ok(None) };
            let is_locked = flock::try_lock(&file).map_err(Error::io("lock", path))?;
            if !is_current(&file, path)? {
                return Ok(None);
            }
            Ok(Some(if is_locked { Acquired::Lock(Self(file)) } else { Acquired::Busy(None) }))
        })
    }
}

impl Drop for KeptLock {
    fn drop(&mut self) {
        // A drop cannot return the error; the descriptor is closed next, which frees the lock too.
        drop(flock::unlock(&self.0));
    }
}

/// Repeats `attempt` until it does not find the file replaced (`None`).
pub(crate) fn attempts<T>(
    path: &Path,
    mut attempt: impl FnMut() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    for _ in 0..ATTEMPTS {
        if let Some(value) = attempt()? {
            return Ok(value);
        }
    }
    Err(Error::Replaced { path: path.to_owned(), attempts: ATTEMPTS })
}

/// Returns whether the path names the open file.
///
/// The inode number alone does not tell: another file system may have been mounted over the path.
pub(crate) fn is_current(file: &File, path: &Path) -> Result<bool, Error> {
    let opened = file.metadata().map_err(Error::io("examine", path))?;
    match fs::metadata(path) {
        Ok(named) => Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("examine", path)(e)),
    }
}

/// Opens a file for reading. `None`: it does not exist.
pub(crate) fn open_existing(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("open", path)(e)),
    }
}

/// Opens a file that stays, or creates it. `None`: another process has created it meanwhile.
///
/// An existing file is neither opened with `O_CREAT` nor for writing: in a folder like `/run/lock`,
/// which is sticky and writable for all, the kernel refuses the first for files of other users
/// (`fs.protected_regular`), even to root, and agents need not run as one user.
fn open_kept(path: &Path) -> Result<Option<File>, Error> {
    if let Some(file) = open_existing(path)? {
        return Ok(Some(file));
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(Error::io("create", path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was removed or replaced is not the one that the path names.
    #[test]
    fn a_current_file_is_the_one_that_the_path_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let file = File::create(&path).unwrap();
        assert!(is_current(&file, &path).unwrap());

        fs::remove_file(&path).unwrap();
        assert!(!is_current(&file, &path).unwrap());

        let _other = File::create(&path).unwrap();
        assert!(!is_current(&file, &path).unwrap());
    }

    /// Equal inode numbers on two file systems are two files.
    #[test]
    fn current_compares_the_device_too() {
        // The roots of procfs and sysfs both have the inode number 1.
        let proc = File::open("/proc").unwrap();
        assert_eq!(proc.metadata().unwrap().ino(), fs::metadata("/sys").unwrap().ino());
        assert!(!is_current(&proc, Path::new("/sys")).unwrap());
        assert!(is_current(&proc, Path::new("/proc")).unwrap());
    }

    #[test]
    fn attempts_have_a_limit() {
        let mut calls = 0;
        let result = attempts::<()>(Path::new("/x"), || {
            calls += 1;
            Ok(None)
        });
        assert!(matches!(result, Err(Error::Replaced { attempts: ATTEMPTS, .. })));
        assert_eq!(calls, ATTEMPTS);
    }
}
