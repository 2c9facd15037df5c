use std::path::Path;

use crate::Error;
use crate::lock_file::KeptLock;

/// The lock of all agents of one toolchain on this host.
///
/// Whoever enumerates machines, takes a machine's lock or writes to it holds this one; the
/// functions that do so ask for a reference to it. It is free again when the value is dropped, and
/// when the process ends, however that happens. The file stays.
///
/// Programs that the process starts do not inherit the lock.
///
/// ```
/// use bbot_lock::HostLock;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("bbot-agent-public.lock");
///
/// let host = HostLock::lock(&path)?;
/// assert!(HostLock::try_lock(&path)?.is_none());
/// drop(host);
/// assert!(HostLock::try_lock(&path)?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is freed when this is dropped"]
pub struct HostLock {
    /// Held for its `Drop`. `None`: locking is disabled.
    _lock: Option<KeptLock>,
}

impl HostLock {
    /// Returns a value that locks nothing, for an agent that has the host for itself.
    pub fn disabled() -> Self {
        Self { _lock: None }
    }

    /// Waits until nobody else has the lock, and takes it. Makes the file if there is none.
    ///
    /// The wait has no limit and a signal handler does not end it: call this in a thread of its own
    /// where something else must go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened, made or locked; [`Error::Replaced`] if something
    /// keeps removing it.
    pub fn lock(path: &Path) -> Result<Self, Error> {
        Ok(Self { _lock: Some(KeptLock::lock(path)?) })
    }

    /// Takes the lock, or returns `None` at once if somebody else has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(path: &Path) -> Result<Option<Self>, Error> {
        Ok(KeptLock::try_lock(path)?.map(|lock| Self { _lock: Some(lock) }))
    }
}
