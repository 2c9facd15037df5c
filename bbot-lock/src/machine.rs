use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::lock_file::{attempts, is_current, open_existing};
use crate::{Error, Holder, HostLock, flock};

/// The lock of one machine for one toolchain, held by this process.
///
/// The lock file tells other agents who holds it, and the priority of its task. The lock is free
/// again when the value is released or dropped, and when the process ends, however that happens.
/// Programs that the process starts do not inherit it.
#[derive(Debug)]
#[must_use = "the lock is freed when this is dropped"]
pub struct MachineLock {
    path: PathBuf,
    file: File,
    held: bool,
}

impl MachineLock {
    /// Takes the lock, or says who has it. The file then names this process, without a priority.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened, locked or written; [`Error::Replaced`] if
    /// something keeps replacing it. The lock is not taken then.
    pub fn acquire(
        host: &HostLock,
        lock_file: &Path,
    ) -> Result<Result<Self, Option<Holder>>, Error> {
        let taken = attempts(lock_file, || {
            // Not truncated here: until it is locked, the content is another's.
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false);
            attempt(file.open(lock_file).map_err(Error::io("open", lock_file))?, lock_file)
        })?;
        match taken {
            Attempt::Busy(holder) => Ok(Err(holder)),
            Attempt::Taken(file) => {
                let mut lock = Self { path: lock_file.to_owned(), file, held: true };
                lock.write(host, None)?;
                Ok(Ok(lock))
            }
        }
    }

    /// Writes who we are and the priority of our task; `None` for a bootstrap.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the content may be empty then, and the lock had better be released.
    pub fn write(&mut self, _host: &HostLock, priority: Option<u64>) -> Result<(), Error> {
        // A crash may have left a longer content, whose end would be taken for ours.
        self.truncate(0)?;
        let content = Holder::ourselves(priority).to_string();
        self.file.write_all_at(content.as_bytes(), 0).map_err(Error::io("write", &self.path))
    }

    /// Takes the priority away: from now on the task cannot be interrupted.
    ///
    /// This needs no host lock, since it is one `ftruncate(2)`: others see the content before it or
    /// the one after it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.truncate(Holder::ourselves(None).to_string().len() as u64)
    }

    /// Removes the lock file and frees the lock. Dropping does the same, silently.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file could not be removed, or not be unlocked. The lock is free anyway.
    pub fn release(mut self) -> Result<(), Error> {
        self.free()
    }

    fn truncate(&self, length: u64) -> Result<(), Error> {
        self.file.set_len(length).map_err(Error::io("truncate", &self.path))
    }

    /// Removes first and unlocks then: in the other order the file removed could be one that
    /// somebody else has already locked.
    fn free(&mut self) -> Result<(), Error> {
        self.held = false;
        let removed = self.remove();
        flock::unlock(&self.file).map_err(Error::io("unlock", &self.path))?;
        removed
    }

    /// Removes the file if it is still ours: should somebody have removed it, the next one of that
    /// name belongs to the next holder.
    fn remove(&self) -> Result<(), Error> {
        if !is_current(&self.file, &self.path)? {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.path)(e))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for MachineLock {
    fn drop(&mut self) {
        if self.held {
            // Nobody is left to tell; a file that stays is unlocked, hence free.
            drop(self.free());
        }
    }
}

/// Whether somebody has a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// Nobody.
    Free,
    /// This holder, or one whose content cannot be read.
    Busy(Option<Holder>),
}

/// Tells whether somebody has the machine. Neither makes a file nor changes one.
///
/// The answer stays true for as long as the host lock is held, save that the holder may release the
/// machine, or [suspend](MachineLock::suspend) its task.
///
/// # Errors
///
/// [`Error::Io`] if the file is there but cannot be opened or locked; [`Error::Replaced`] if
/// something keeps replacing it.
pub fn probe(_host: &HostLock, lock_file: &Path) -> Result<MachineState, Error> {
    attempts(lock_file, || {
        let Some(file) = open_existing(lock_file)? else { return Ok(Some(MachineState::Free)) };
        Ok(match attempt(file, lock_file)? {
            Some(Attempt::Taken(file)) => {
                // Not left to close(2): a child between fork and exec would keep the lock.
                flock::unlock(&file).map_err(Error::io("unlock", lock_file))?;
                Some(MachineState::Free)
            }
            Some(Attempt::Busy(holder)) => Some(MachineState::Busy(holder)),
            None => None,
        })
    })
}

/// What a lock file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is no such file.
    Absent,
    /// It names this holder: the one who has the lock, or had it and was killed.
    Holder(Holder),
    /// It says nothing that makes sense; it may just be being written.
    Unreadable,
}

/// Reads a machine's lock file without taking any lock, to show it to people.
///
/// # Errors
///
/// [`Error::Io`] if the file is there but cannot be opened.
pub fn inspect(lock_file: &Path) -> Result<Content, Error> {
    Ok(match open_existing(lock_file)? {
        None => Content::Absent,
        Some(file) => Holder::read(&file).map_or(Content::Unreadable, Content::Holder),
    })
}

/// What came of an attempt to lock a file.
enum Attempt {
    Taken(File),
    Busy(Option<Holder>),
}

/// Tries to lock the file. `None`: it is not the one any more that the path names.
///
/// That is so between the two steps of a release, or if such a release came between our open and
/// our lock; either way this lock file is history.
fn attempt(file: File, path: &Path) -> Result<Option<Attempt>, Error> {
    let taken = flock::try_lock(&file).map_err(Error::io("lock", path))?;
    if !is_current(&file, path)? {
        return Ok(None);
    }
    Ok(Some(if taken { Attempt::Taken(file) } else { Attempt::Busy(Holder::read(&file)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The race that the release of a lock makes possible: the file was opened before it was
    /// removed, and is locked after that.
    #[test]
    fn a_lock_on_a_removed_file_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let file = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(attempt(file, &path).unwrap().is_none());
    }

    /// The same, and meanwhile somebody made a new file.
    #[test]
    fn a_lock_on_a_replaced_file_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let file = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _new = File::create(&path).unwrap();
        assert!(attempt(file, &path).unwrap().is_none());
    }

    /// A holder that has removed its file, but not unlocked it yet, does not have the machine.
    #[test]
    fn a_removed_file_is_free_though_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let releasing = File::create(&path).unwrap();
        assert!(flock::try_lock(&releasing).unwrap());
        let opened_before = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(attempt(opened_before, &path).unwrap().is_none());
        assert_eq!(probe(&HostLock::disabled(), &path).unwrap(), MachineState::Free);
    }
}
