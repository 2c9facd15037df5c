//! The error of an operation on a file or folder.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on a file or folder failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub(crate) struct FileError {
    /// What was attempted, as a verb.
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// Returns a function that turns the I/O error of `operation` on `path` into this one.
    pub(crate) fn of<'a>(
        operation: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { operation, path: path.to_owned(), source }
    }

    /// Returns the kind of the I/O error.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns whether room is missing: space or an inode (ENOSPC), or either within a quota
    /// (EDQUOT).
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Makes it a success that the file or folder of an operation does not exist.
pub(crate) fn if_present(result: Result<(), FileError>) -> Result<(), FileError> {
    result.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}
