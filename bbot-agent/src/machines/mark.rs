//! The mark of a subvolume that an agent has made (W44, W45).
//!
//! It is a file in the subvolume, with the name of the toolchain. A snapshot of a marked subvolume
//! is born with the mark. The process that works with a working snapshot has the file locked
//! (`flock(2)`) all the while: so any process of the host can tell whether the snapshot is in use,
//! whatever its pid namespace, and whether the pid has been reused or not.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use crate::config::ToolchainName;
use crate::fs::bounded_read;

/// The name of the file.
const FILE_NAME: &str = ".bbot-agent";

/// The most bytes of the file that are read: the longest name of a toolchain and a newline.
const LIMIT: u64 = 101;

/// The mark of a working snapshot of this process, which is in use until this is dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Held for its lock.
    _file: File,
}

/// What a subvolume's mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    /// The toolchain; `None`: the mark cannot be read, as its maker was killed in the middle.
    pub(crate) toolchain: Option<ToolchainName>,
    /// Whether a process works with the subvolume.
    pub(crate) is_in_use: bool,
}

impl Mark {
    /// Marks a subvolume as one of this process, for `toolchain`, in place of an older mark.
    pub(crate) fn set(subvolume: &Path, toolchain: &ToolchainName) -> io::Result<Self> {
        let path = subvolume.join(FILE_NAME);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            // A sweep has it for a moment.
            Err(TryLockError::WouldBlock) => file.lock()?,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        writeln!(file, "{toolchain}")?;
        Ok(Self { _file: file })
    }
}

/// Reads the mark of a subvolume; `None` if it has none.
pub(crate) fn read(subvolume: &Path) -> io::Result<Option<Marked>> {
    let file = match File::open(subvolume.join(FILE_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let is_in_use = match file.try_lock() {
        // A child between fork and exec would keep the lock otherwise.
        Ok(()) => file.unlock().map(|()| false)?,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) => return Err(error),
    };
    let text = bounded_read::prefix(&file, LIMIT)?;
    let text = str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n'));
    let toolchain = text.and_then(|name| name.parse().ok());
    Ok(Some(Marked { toolchain, is_in_use }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W45: a mark tells the toolchain, and whether a process works with the subvolume.
    #[test]
    fn a_mark_is_in_use_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let read = || read(folder.path()).unwrap();
        assert_eq!(read(), None);
        let marked = |toolchain: Option<&str>, is_in_use| {
            let toolchain = toolchain.map(|name| name.parse().unwrap());
            Some(Marked { toolchain, is_in_use })
        };
        let longest = "x".repeat(100);
        for toolchain in [longest.as_str(), "stage"] {
            let mark = Mark::set(folder.path(), &toolchain.parse().unwrap()).unwrap();
            assert_eq!(read(), marked(Some(toolchain), true));
            drop(mark);
            assert_eq!(read(), marked(Some(toolchain), false));
        }
        for broken in ["", "stage", "a/b\n", "stage\nx\n"] {
            std::fs::write(folder.path().join(FILE_NAME), broken).unwrap();
            assert_eq!(read(), marked(None, false), "{broken:?}");
        }
    }
}
