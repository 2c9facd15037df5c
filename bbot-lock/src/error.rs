use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a lock file could not be worked with. That somebody else has the lock is not an error.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "the crate's one error, read as bbot_lock::Error")]
pub enum Error {
    /// A system call failed.
    Io {
        /// What was being done to the file: `open`, `lock`, `write` and so on.
        operation: &'static str,
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Each time when the file was locked, the path already named another file, or none.
    ///
    /// Lock files are replaced only by the release of a machine lock, so something that does not
    /// follow the protocol keeps doing it.
    Replaced {
        /// The lock file.
        path: PathBuf,
        /// How many times it was tried.
        attempts: u32,
    },
}

impl Error {
    /// For `map_err`: the error of this operation on this file.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { operation, path, .. } => {
                write!(f, "cannot {operation} lock file {}", path.display())
            }
            Self::Replaced { path, attempts } => {
                let path = path.display();
                write!(f, "lock file {path} was replaced in each of {attempts} attempts to lock it")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Replaced { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let path = Path::new("/m/linux-public.lock");
        let error = Error::io("open", path)(io::Error::from_raw_os_error(13));
        assert_eq!(error.to_string(), "cannot open lock file /m/linux-public.lock");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "Permission denied (os error 13)");

        let error = Error::Replaced { path: path.to_owned(), attempts: 3 };
        assert_eq!(
            error.to_string(),
            "lock file /m/linux-public.lock was replaced in each of 3 attempts to lock it"
        );
        assert!(std::error::Error::source(&error).is_none());
    }
}
