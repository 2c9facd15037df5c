use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::lock_file::{attempts, is_current, open_existing};
use crate::{Acquired, Error, Holder, HostLock, flock};

/// The lock of one machine for one toolchain, held by this process.
///
/// The lock file tells other agents the holder, and the priority of its task. The lock is freed
/// when the value is released or dropped, and when the process ends, by whatever cause. Programs
/// that the process starts do not inherit it.
#[derive(Debug)]
#[must_use = "the lock is freed when this is dropped"]
pub struct MachineLock {
    path: PathBuf,
    file: File,
    held: bool,
}

impl MachineLock {
    /// Takes the lock if it is free, without waiting. The file then names this process, without a
    /// priority.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened, locked or written; [`Error::Replaced`] if
    /// another process keeps replacing it. The lock is not taken then.
    pub fn try_acquire(host: &HostLock, lock_file: &Path) -> Result<Acquired<Self>, Error> {
        let acquired = attempts(lock_file, || {
            // Not truncated here: until the file is locked, its content is another process's.
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false);
            attempt(file.open(lock_file).map_err(Error::io("open", lock_file))?, lock_file)
        })?;
        match acquired {
            Acquired::Busy(holder) => Ok(Acquired::Busy(holder)),
            Acquired::Lock(file) => {
                let mut lock = Self { path: lock_file.to_owned(), file, held: true };
                lock.write(host, None)?;
                Ok(Acquired::Lock(lock))
            }
        }
    }

    /// Writes the pid of this process and the priority of its task; `None` for a bootstrap.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]. The content may then be an old one; the caller should release the lock.
    pub fn write(&mut self, _host: &HostLock, priority: Option<u64>) -> Result<(), Error> {
        let content = Holder::this_process(priority).to_string();
        self.file.write_all_at(content.as_bytes(), 0).map_err(Error::io("write", &self.path))?;
        // A holder that was killed may have left a longer content, whose end would be taken for a
        // part of this one. The content is never empty meanwhile, not even if the disk is full: in
        // bbot-agent, that is W47.
        self.truncate(content.len() as u64)
    }

    /// Takes the priority away: from now on the task cannot be interrupted.
    ///
    /// This needs no host lock: it is one `ftruncate(2)`, so that a reader sees the content before
    /// it or the content after it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.truncate(Holder::this_process(None).to_string().len() as u64)
    }

    /// Removes the lock file and frees the lock. Dropping does the same, but cannot return an
    /// error.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file could not be removed or unlocked. The lock is free anyway.
    pub fn release(mut self) -> Result<(), Error> {
        self.free()
    }

    fn truncate(&self, length: u64) -> Result<(), Error> {
        self.file.set_len(length).map_err(Error::io("truncate", &self.path))
    }

    /// Removes the file, then unlocks it: in the other order, the file that is removed could be one
    /// that another process has locked in between.
    fn free(&mut self) -> Result<(), Error> {
        self.held = false;
        let removed = self.remove();
        flock::unlock(&self.file).map_err(Error::io("unlock", &self.path))?;
        removed
    }

    /// Removes the file if the path still names it. If another process has removed it, a file of
    /// that name belongs to the next holder.
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
            // A drop cannot return the error; a file that stays is unlocked, hence free.
            drop(self.free());
        }
    }
}

/// Whether a machine is locked.
///
/// There are two states and will be no others, so that a `match` may name both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MachineState {
    /// No process has the lock.
    Free,
    /// This holder has it; `None`: the content of the lock file names no holder.
    Busy(Option<Holder>),
}

/// Returns whether the machine is locked. Neither creates a file nor changes one.
///
/// While the host lock is held, the answer stays true, except that the holder may release the
/// machine or [suspend](MachineLock::suspend) its task.
///
/// # Errors
///
/// [`Error::Io`] if the file exists but cannot be opened or locked; [`Error::Replaced`] if another
/// process keeps replacing it.
pub fn probe(_host: &HostLock, lock_file: &Path) -> Result<MachineState, Error> {
    probe_then(lock_file, |file| {
        // Not left to close(2): a child between fork and exec would keep the lock.
        flock::unlock(&file).map_err(Error::io("unlock", lock_file))
    })
}

/// Returns whether the machine is locked, as [`probe`] does, and removes a lock file that a killed
/// process has left.
///
/// The C++ agent does not truncate such a file when it takes the lock, so that the end of the old
/// content would be read as a part of its own. With a [disabled](HostLock::disabled) host lock,
/// nothing is removed: another process may be opening the file.
///
/// # Errors
///
/// As [`probe`]; [`Error::Io`], too, if the file cannot be removed.
pub fn probe_and_tidy(host: &HostLock, lock_file: &Path) -> Result<MachineState, Error> {
    if host.is_disabled() {
        return probe(host, lock_file);
    }
    probe_then(lock_file, |file| {
        // Removed while it is locked, as by a release.
        let lock = MachineLock { path: lock_file.to_owned(), file, held: true };
        lock.release()
    })
}

fn probe_then(
    lock_file: &Path,
    free: impl Fn(File) -> Result<(), Error>,
) -> Result<MachineState, Error> {
    attempts(lock_file, || {
        let Some(file) = open_existing(lock_file)? else { return Ok(Some(MachineState::Free)) };
        Ok(match attempt(file, lock_file)? {
            Some(Acquired::Lock(file)) => {
                free(file)?;
                Some(MachineState::Free)
            }
            Some(Acquired::Busy(holder)) => Some(MachineState::Busy(holder)),
            None => None,
        })
    })
}

/// Tries to lock the file. `None`: the path does not name it any more.
///
/// That is so between the two steps of a release, and if a release happened between the caller's
/// open and this lock; in either case this file is no longer the machine's lock file.
fn attempt(file: File, path: &Path) -> Result<Option<Acquired<File>>, Error> {
    let is_locked = flock::try_lock(&file).map_err(Error::io("lock", path))?;
    if !is_current(&file, path)? {
        return Ok(None);
    }
    Ok(Some(if is_locked { Acquired::Lock(file) } else { Acquired::Busy(Holder::read(&file)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The race of a release with the next holder: the file was opened before it was removed, and
    /// is locked after that.
    #[test]
    fn a_lock_on_a_removed_file_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let file = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(attempt(file, &path).unwrap().is_none());
    }

    /// The same, if another process has created a new file meanwhile.
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
