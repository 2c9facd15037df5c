use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// What could not be done, and why.
///
/// `Display` tells the operation with its paths; the cause is the source.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "the crate's one error, read as bbot_btrfs::Error")]
pub struct Error {
    /// What was being done.
    pub operation: Operation,
    /// Why it could not be.
    pub cause: Cause,
}

impl Error {
    /// Tells whether something that the operation needs does not exist: for a snapshot the source,
    /// or the target's parent folder.
    pub fn is_not_found(&self) -> bool {
        self.cause.is(Errno::ENOENT)
    }

    /// Returns the number of the system's error, if that is the cause.
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.cause {
            Cause::System(error) => error.raw_os_error(),
            Cause::NotBtrfs | Cause::NotSubvolume | Cause::InteriorNul => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.operation)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::System(error) => Some(error),
            cause => Some(cause),
        }
    }
}

/// What was being done when an error occurred. `Display` continues a "cannot".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are the parameters of the function of that name")]
pub enum Operation {
    /// [`snapshot`](crate::snapshot)
    Snapshot { source: PathBuf, target: PathBuf },
    /// [`create`](crate::create)
    Create { path: PathBuf },
    /// [`delete`](crate::delete)
    Delete { path: PathBuf },
    /// [`is_subvolume`](crate::is_subvolume)
    Examine { path: PathBuf },
    /// [`is_read_only`](crate::is_read_only)
    GetReadOnly { path: PathBuf },
    /// [`set_read_only`](crate::set_read_only)
    SetReadOnly { path: PathBuf, read_only: bool },
    /// [`publish`](crate::publish)
    Publish { new: PathBuf, name: PathBuf },
}

impl Operation {
    pub(crate) fn snapshot(source: &Path, target: &Path) -> Self {
        Self::Snapshot { source: source.to_owned(), target: target.to_owned() }
    }

    pub(crate) fn create(path: &Path) -> Self {
        Self::Create { path: path.to_owned() }
    }

    pub(crate) fn delete(path: &Path) -> Self {
        Self::Delete { path: path.to_owned() }
    }

    pub(crate) fn examine(path: &Path) -> Self {
        Self::Examine { path: path.to_owned() }
    }

    pub(crate) fn get_read_only(path: &Path) -> Self {
        Self::GetReadOnly { path: path.to_owned() }
    }

    pub(crate) fn set_read_only(path: &Path, read_only: bool) -> Self {
        Self::SetReadOnly { path: path.to_owned(), read_only }
    }

    pub(crate) fn publish(new: &Path, name: &Path) -> Self {
        Self::Publish { new: new.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot { source, target } => {
                write!(f, "snapshot subvolume {} as {}", source.display(), target.display())
            }
            Self::Create { path } => write!(f, "create subvolume {}", path.display()),
            Self::Delete { path } => write!(f, "delete subvolume {}", path.display()),
            Self::Examine { path } => write!(f, "tell whether {} is a subvolume", path.display()),
            Self::GetReadOnly { path } => {
                write!(f, "tell whether subvolume {} is read-only", path.display())
            }
            Self::SetReadOnly { path, read_only } => {
                let state = if *read_only { "read-only" } else { "writable" };
                write!(f, "make subvolume {} {state}", path.display())
            }
            Self::Publish { new, name } => {
                write!(f, "publish subvolume {} as {}", new.display(), name.display())
            }
        }
    }
}

/// Why an operation failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The path leads to a file system that knows no subvolumes.
    NotBtrfs,
    /// The path leads to something else than the root of a subvolume.
    NotSubvolume,
    /// A path holds a NUL byte, so that no file can bear this name.
    InteriorNul,
    /// A system call failed.
    System(io::Error),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBtrfs => f.write_str("not on a btrfs file system"),
            Self::NotSubvolume => f.write_str("not a btrfs subvolume"),
            Self::InteriorNul => f.write_str("a path holds a NUL byte"),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // `Display` has told the system's error already.
        match self {
            Self::System(error) => error.source(),
            Self::NotBtrfs | Self::NotSubvolume | Self::InteriorNul => None,
        }
    }
}

impl Cause {
    /// Tells whether this is the system's error of that number.
    pub(crate) fn is(&self, errno: Errno) -> bool {
        matches!(self, Self::System(error) if error.raw_os_error() == Some(errno as i32))
    }

    /// Says more clearly what the system means when it is given what is not a subvolume.
    pub(crate) fn of_subvolume(self, path: &Path) -> Self {
        let unclear = self.is(Errno::EINVAL) || self.is(Errno::EXDEV);
        if unclear && matches!(libbtrfsutil::is_subvolume(path), Ok(false)) {
            return Self::NotSubvolume;
        }
        self
    }
}

impl From<libbtrfsutil::Error> for Cause {
    fn from(error: libbtrfsutil::Error) -> Self {
        // No other file system knows the calls.
        if error.errno() == Errno::ENOTTY as i32 {
            return Self::NotBtrfs;
        }
        Self::System(error.os_error())
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Calls the system, unless a path holds a NUL byte: libbtrfsutil panics on one.
pub(crate) fn call<T, E: Into<Cause>>(
    paths: &[&Path],
    system: impl FnOnce() -> Result<T, E>,
) -> Result<T, Cause> {
    if paths.iter().any(|path| holds_nul(path.as_os_str())) {
        return Err(Cause::InteriorNul);
    }
    system().map_err(Into::into)
}

fn holds_nul(text: &OsStr) -> bool {
    text.as_bytes().contains(&0)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[track_caller]
    fn check(operation: Operation, cause: Cause, text: &str, source: &str) {
        let error = Error { operation, cause };
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().unwrap().to_string(), source);
        assert!(error.source().unwrap().source().is_none());
    }

    #[test]
    fn texts() {
        let (a, b) = (Path::new("/m/a"), Path::new("/m/b"));
        check(
            Operation::snapshot(a, b),
            Cause::from(Errno::ENOENT),
            "cannot snapshot subvolume /m/a as /m/b",
            "No such file or directory (os error 2)",
        );
        check(
            Operation::create(a),
            Cause::NotBtrfs,
            "cannot create subvolume /m/a",
            "not on a btrfs file system",
        );
        check(
            Operation::delete(a),
            Cause::NotSubvolume,
            "cannot delete subvolume /m/a",
            "not a btrfs subvolume",
        );
        check(
            Operation::examine(a),
            Cause::InteriorNul,
            "cannot tell whether /m/a is a subvolume",
            "a path holds a NUL byte",
        );
        check(
            Operation::get_read_only(a),
            Cause::NotSubvolume,
            "cannot tell whether subvolume /m/a is read-only",
            "not a btrfs subvolume",
        );
        check(
            Operation::set_read_only(a, true),
            Cause::NotSubvolume,
            "cannot make subvolume /m/a read-only",
            "not a btrfs subvolume",
        );
        check(
            Operation::set_read_only(a, false),
            Cause::NotSubvolume,
            "cannot make subvolume /m/a writable",
            "not a btrfs subvolume",
        );
        check(
            Operation::publish(a, b),
            Cause::from(Errno::EXDEV),
            "cannot publish subvolume /m/a as /m/b",
            "Invalid cross-device link (os error 18)",
        );
    }

    #[test]
    fn not_found_is_enoent() {
        let error = |cause| Error { operation: Operation::create(Path::new("/m/a")), cause };
        assert!(error(Cause::from(Errno::ENOENT)).is_not_found());
        assert!(!error(Cause::from(Errno::EACCES)).is_not_found());
        assert!(!error(Cause::NotSubvolume).is_not_found());
        assert_eq!(error(Cause::from(Errno::EACCES)).raw_os_error(), Some(13));
        assert_eq!(error(Cause::NotBtrfs).raw_os_error(), None);
    }
}
