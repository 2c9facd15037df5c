use std::path::Path;

use crate::lock_file::KeptLock;
use crate::{Acquired, Error};

/// The lock of all agents of one toolchain on this host.
///
/// A process that enumerates machines, takes a machine lock or writes to it holds this lock; the
/// functions that do so take a reference to it. It is freed when the value is dropped, and when the
/// process ends, by whatever cause. The file stays.
///
/// Programs that the process starts do not inherit the lock.
///
/// ```
/// use bbot_lock::{Acquired, HostLock};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("bbot-agent-public.lock");
///
/// let host = HostLock::acquire(&path)?;
/// assert!(matches!(HostLock::try_acquire(&path)?, Acquired::Busy(_)));
/// drop(host);
/// assert!(matches!(HostLock::try_acquire(&path)?, Acquired::Lock(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is freed when this is dropped"]
pub struct HostLock {
    /// Held for its `Drop`. `None`: locking is disabled.
    lock: Option<KeptLock>,
}

impl HostLock {
    /// Returns a value that locks nothing, for an agent that is the only one of its toolchain on
    /// the host.
    pub fn disabled() -> Self {
        Self { lock: None }
    }

    pub(crate) fn is_disabled(&self) -> bool {
        self.lock.is_none()
    }

    /// Waits until the lock is free, and takes it. Creates the file if there is none.
    ///
    /// The wait has no limit and a signal handler does not end it. A process that must do something
    /// else meanwhile calls this in a thread of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened, created or locked; [`Error::Replaced`] if
    /// another process keeps removing it.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        Ok(Self { lock: Some(KeptLock::acquire(path)?) })
    }

    /// Takes the lock if it is free, without waiting. Creates the file if there is none.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(path: &Path) -> Result<Acquired<Self>, Error> {
        Ok(KeptLock::try_acquire(path)?.map(|lock| Self { lock: Some(lock) }))
    }
}
