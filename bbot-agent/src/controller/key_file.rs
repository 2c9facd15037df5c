//! Whether the file of the key has changed (W63).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How old a change of a file must be for a further one to show in its times: the kernel's clock
/// for them ticks every few milliseconds, that of some file systems every second or two.
const GRANULARITY: Duration = Duration::from_secs(3);

/// What tells one content of a file from another, without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// The last modification and the last change of status, each in seconds and nanoseconds.
    times: [(i64, i64); 2],
}

impl Stamp {
    /// Returns the stamp of a file; `None` if there is none that could be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            times: [
                (metadata.mtime(), metadata.mtime_nsec()),
                (metadata.ctime(), metadata.ctime_nsec()),
            ],
        })
    }

    /// Returns whether any later change gives another stamp: this one is not too young.
    pub(super) fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = self.times[1];
        let seconds = Duration::from_secs(u64::try_from(changed.0).unwrap_or_default());
        now.checked_sub(seconds).is_some_and(|age| age > GRANULARITY)
    }
}
