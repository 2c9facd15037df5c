//! `flock(2)` on an open file. No other file uses fs2.
//!
//! fs2 is called by full path: `File` has methods of the same names, which would take precedence.

use std::fs::File;
use std::io;

/// Locks the file, and waits as long as necessary. A signal does not end the wait.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    uninterrupted(|| fs2::FileExt::lock_exclusive(file))
}

/// Locks the file, or returns `false` at once if another open file has the lock.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match uninterrupted(|| fs2::FileExt::try_lock_exclusive(file)) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Frees the lock, also for child processes that still have a copy of the descriptor.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    fs2::FileExt::unlock(file)
}

/// Repeats the call while signals interrupt it.
fn uninterrupted(mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
