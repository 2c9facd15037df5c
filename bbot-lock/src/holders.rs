//! Which process has a lock, read without taking one.
//!
//! Two sources tell the holder of a lock file, and neither suffices:
//!
//! * The *content* of a machine's lock file ([`read`]) names the holder and the priority of its
//!   task. It stays in the file when the holder is killed, and a reader that does not hold the host
//!   lock may find it empty, while it is being written.
//! * The *kernel* ([`LockTable`], `/proc/locks`) tells whether a file is locked now, and by which
//!   process. It knows no priority, and shows only the processes of the pid namespace that `/proc`
//!   was mounted for (`proc_locks(5)`).
//!
//! Neither needs a privilege beyond that to read the files, and neither disturbs the holders: an
//! attempt to lock a file would, since it succeeds for a moment if the file is free. What is read
//! may have changed by the time it is used, so this is for status displays; a decision is made
//! under the host lock, by [`probe`](crate::probe).
//!
//! ```
//! use bbot_lock::holders::{self, Content, LockStatus, LockTable};
//! use bbot_lock::{Acquired, HostLock, MachineLock};
//!
//! let dir = tempfile::tempdir()?;
//! let machine = dir.path().join("linux-public.lock");
//! assert_eq!(holders::read(&machine)?, Content::Absent);
//!
//! let host = HostLock::disabled();
//! let Acquired::Lock(mut lock) = MachineLock::try_acquire(&host, &machine)? else { panic!() };
//! lock.write(&host, Some(100))?;
//!
//! let Content::Holder(holder) = holders::read(&machine)? else { panic!() };
//! assert_eq!(holder.priority, Some(100));
//! let pid = std::process::id().try_into()?;
//! assert_eq!(LockTable::read()?.status(&machine), LockStatus::LockedBy(pid));
//! # lock.release()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod lock_table;

use std::path::Path;

use crate::lock_file::open_existing;
use crate::{Error, Holder};

pub use lock_table::{LockStatus, LockTable};

/// The content of a machine's lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// The file does not exist.
    Absent,
    /// It names this holder: the process that has the lock, or that had it and was killed.
    Holder(Holder),
    /// It names no holder. It may be in the course of being written.
    Unreadable,
}

/// Reads a machine's lock file without taking a lock.
///
/// # Errors
///
/// [`Error::Io`] if the file exists but cannot be opened.
pub fn read(lock_file: &Path) -> Result<Content, Error> {
    Ok(match open_existing(lock_file)? {
        None => Content::Absent,
        Some(file) => Holder::read(&file).map_or(Content::Unreadable, Content::Holder),
    })
}
