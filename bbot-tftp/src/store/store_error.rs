//! Why a store does not read or write a file.

use std::io;

use nix::errno::Errno;

use crate::protocol::ErrorCode;

/// Why a store does not read or write a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file does not exist.
    #[error("file not found")]
    NotFound,
    /// The policy forbids the access, or the path is not a regular file, or leaves its folder.
    #[error("access violation")]
    Denied,
    /// The file would exceed a limit, or the file system is full.
    #[error("disk full or quota exceeded")]
    Full,
    /// The file exists, and the policy forbids to replace it.
    #[error("file already exists")]
    Exists,
    /// The server stops before the file is durable.
    #[error("server stops")]
    Stopped,
    /// Another error of the storage.
    #[error("storage failed")]
    Io(#[source] io::Error),
}

impl StoreError {
    /// The code and the message of the ERROR that the client is sent: never a path of the host.
    pub fn reply(&self) -> (ErrorCode, &'static str) {
        match self {
            Self::NotFound => (ErrorCode::NOT_FOUND, "file not found"),
            Self::Denied => (ErrorCode::ACCESS, "access violation"),
            Self::Full => (ErrorCode::DISK_FULL, "disk full or quota exceeded"),
            Self::Exists => (ErrorCode::EXISTS, "file already exists"),
            Self::Stopped => (ErrorCode::UNDEFINED, "server stops"),
            Self::Io(_) => (ErrorCode::UNDEFINED, "storage failed"),
        }
    }
}

/// Classifies an error of the operating system.
impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR) => Self::NotFound,
            Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => Self::Full,
            Some(Errno::EEXIST) => Self::Exists,
            Some(
                Errno::EACCES
                | Errno::EPERM
                | Errno::ELOOP
                | Errno::EXDEV
                | Errno::EISDIR
                | Errno::ENXIO
                | Errno::EROFS
                | Errno::ENAMETOOLONG,
            ) => Self::Denied,
            _ => Self::Io(error),
        }
    }
}

/// The same for the system calls of this crate.
pub(super) fn store_error(errno: Errno) -> StoreError {
    io::Error::from(errno).into()
}
