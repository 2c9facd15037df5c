use std::io;
use std::path::{Path, PathBuf};

/// Why an operation on a lock failed. That another process has the lock is not an error.
///
/// `Display` names the operation with its parameters; the system's error is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "the crate's one error, read as bbot_lock::Error")]
pub enum Error {
    /// A system call on a lock file failed.
    #[error("cannot {operation} lock file {}", path.display())]
    Io {
        /// What was attempted: `open`, `lock`, `write` and so on.
        operation: &'static str,
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// In each attempt, when the file was locked, the path already named another file, or none.
    ///
    /// Only the release of a machine lock removes a lock file, so a process that does not follow
    /// the protocol is doing so.
    #[error("lock file {} was replaced in each of {attempts} attempts to lock it", path.display())]
    Replaced {
        /// The lock file.
        path: PathBuf,
        /// The number of attempts.
        attempts: u32,
    },
    /// A system call on a process that is to be interrupted failed.
    #[error("cannot {operation} process {pid}")]
    Process {
        /// What was attempted: `open` or `signal`.
        operation: &'static str,
        /// The process.
        pid: i32,
        /// The system's error.
        source: io::Error,
    },
    /// The watch on lock files and processes could not be started.
    #[error("cannot {operation}")]
    Watch {
        /// What was attempted: `watch files`, `make a pipe` or `start a thread`.
        operation: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A table of the kernel could not be read.
    #[error("cannot read {}", path.display())]
    KernelTable {
        /// `/proc/locks` or `/proc/self/mountinfo`.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: the error of this operation on this lock file.
    pub(crate) fn io<E: Into<io::Error>>(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source: source.into() }
    }

    /// For `map_err`: the error of this operation on this process.
    pub(crate) fn process<E: Into<io::Error>>(
        operation: &'static str,
        pid: i32,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Process { operation, pid, source: source.into() }
    }

    /// For `map_err`: the error of this step in starting a watch.
    pub(crate) fn watch<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Watch { operation, source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn denied() -> io::Error {
        io::Error::from_raw_os_error(13)
    }

    #[test]
    fn texts() {
        let path = Path::new("/m/linux-public.lock");
        for (error, text) in [
            (Error::io("open", path)(denied()), "cannot open lock file /m/linux-public.lock"),
            (Error::process("signal", 42)(denied()), "cannot signal process 42"),
            (Error::watch("watch files")(denied()), "cannot watch files"),
            (
                Error::KernelTable { path: "/proc/locks".into(), source: denied() },
                "cannot read /proc/locks",
            ),
        ] {
            assert_eq!(error.to_string(), text);
            let source = error.source().unwrap();
            assert_eq!(source.to_string(), "Permission denied (os error 13)");
        }

        let error = Error::Replaced { path: path.to_owned(), attempts: 3 };
        assert_eq!(
            error.to_string(),
            "lock file /m/linux-public.lock was replaced in each of 3 attempts to lock it"
        );
        assert!(error.source().is_none());
    }
}
