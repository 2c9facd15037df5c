use std::path::Path;

use crate::Error;
use crate::lock_file::KeptLock;

/// The lock that makes a process the only one of its toolchain and instance number.
///
/// It is free again when the value is dropped, and when the process ends, however that happens. The
/// file stays.
///
/// ```
/// use bbot_lock::InstanceLock;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("bbot-agent-public-1.lock");
///
/// let ours = InstanceLock::try_acquire(&path)?;
/// assert!(ours.is_some());
/// assert!(InstanceLock::try_acquire(&path)?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is freed when this is dropped"]
pub struct InstanceLock {
    /// Held for its `Drop`.
    _lock: KeptLock,
}

impl InstanceLock {
    /// Takes the lock, or returns `None` at once if another process has it. Makes the file if there
    /// is none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be opened, made or locked; [`Error::Replaced`] if something
    /// keeps removing it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, Error> {
        Ok(KeptLock::try_lock(path)?.map(|lock| Self { _lock: lock }))
    }
}
