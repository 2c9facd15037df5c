use std::path::Path;

use crate::lock_file::KeptLock;
use crate::{Acquired, Error};

/// The lock that makes a process the only one of its toolchain and instance number.
///
/// It is freed when the value is dropped, and when the process ends, by whatever cause. The file
/// stays. Programs that the process starts do not inherit the lock.
///
/// ```
/// use bbot_lock::{Acquired, InstanceLock};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("bbot-agent@public-1.lock");
///
/// let Acquired::Lock(lock) = InstanceLock::try_acquire(&path)? else { panic!("it was free") };
/// assert!(matches!(InstanceLock::try_acquire(&path)?, Acquired::Busy(_)));
/// # drop(lock);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is freed when this is dropped"]
pub struct InstanceLock {
    /// Held for its `Drop`.
    _lock: KeptLock,
}

impl InstanceLock {
    /// Takes the lock if it is free, without waiting. Creates the file if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened, created or locked; [`Error::Replaced`] if
    /// another process keeps removing it.
    pub fn try_acquire(path: &Path) -> Result<Acquired<Self>, Error> {
        Ok(KeptLock::try_acquire(path)?.map(|lock| Self { _lock: lock }))
    }
}
