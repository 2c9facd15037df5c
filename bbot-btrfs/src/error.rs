use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// An operation that failed, and the cause.
///
/// `Display` names the operation with its paths; the cause is the source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "the crate's one error, read as bbot_btrfs::Error")]
pub struct Error {
    /// The operation that failed.
    pub operation: Operation,
    /// Why it failed.
    #[source]
    pub cause: Cause,
}

impl Error {
    /// Returns whether something that the operation needs does not exist: for a snapshot, the
    /// source or the parent folder of the target.
    pub fn is_not_found(&self) -> bool {
        self.cause.is(Errno::ENOENT)
    }

    /// Returns the system's error number (`errno`), if a system call failed.
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.cause {
            Cause::System(error) => error.raw_os_error(),
            Cause::NotBtrfs | Cause::NotSubvolume | Cause::InteriorNul => None,
        }
    }
}

/// The operation during which an error occurred, with its parameters.
///
/// `Display` continues the words "cannot ".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// [`identity`](crate::identity)
    Identify { path: PathBuf },
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

    pub(crate) fn identify(path: &Path) -> Self {
        Self::Identify { path: path.to_owned() }
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
            Self::Identify { path } => {
                write!(f, "read the identity of subvolume {}", path.display())
            }
            Self::Publish { new, name } => {
                write!(f, "publish subvolume {} as {}", new.display(), name.display())
            }
        }
    }
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The path leads to a file system without subvolumes.
    #[error("not on a btrfs file system")]
    NotBtrfs,
    /// The path leads to something else than the root of a subvolume.
    #[error("not a btrfs subvolume")]
    NotSubvolume,
    /// A path contains a NUL byte, so that no file can have this name.
    #[error("a path holds a NUL byte")]
    InteriorNul,
    /// A system call failed.
    #[error(transparent)]
    System(io::Error),
}

impl Cause {
    /// Classifies the error of a system call.
    fn of(error: io::Error) -> Self {
        // Only btrfs implements the ioctls; other file systems answer ENOTTY.
        if error.raw_os_error() == Some(Errno::ENOTTY as i32) {
            return Self::NotBtrfs;
        }
        Self::System(error)
    }

    /// Returns whether this is the system's error with that number.
    pub(crate) fn is(&self, errno: Errno) -> bool {
        matches!(self, Self::System(error) if error.raw_os_error() == Some(errno as i32))
    }

    /// Replaces the error numbers that the system returns for a path that is not a subvolume.
    pub(crate) fn of_subvolume(self, path: &Path) -> Self {
        let is_ambiguous = self.is(Errno::EINVAL) || self.is(Errno::EXDEV);
        if is_ambiguous && matches!(libbtrfsutil::is_subvolume(path), Ok(false)) {
            return Self::NotSubvolume;
        }
        self
    }
}

/// Makes a system call with these paths, unless one contains a NUL byte: libbtrfsutil panics on
/// one.
pub(crate) fn call<T>(
    paths: &[&Path],
    system_call: impl FnOnce() -> io::Result<T>,
) -> Result<T, Cause> {
    if paths.iter().any(|path| path.as_os_str().as_bytes().contains(&0)) {
        return Err(Cause::InteriorNul);
    }
    system_call().map_err(Cause::of)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn errno(errno: Errno) -> Cause {
        Cause::of(errno.into())
    }

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
            errno(Errno::ENOENT),
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
            Operation::identify(a),
            Cause::NotSubvolume,
            "cannot read the identity of subvolume /m/a",
            "not a btrfs subvolume",
        );
        check(
            Operation::publish(a, b),
            errno(Errno::EXDEV),
            "cannot publish subvolume /m/a as /m/b",
            "Invalid cross-device link (os error 18)",
        );
    }

    #[test]
    fn not_found_is_enoent() {
        let error = |cause| Error { operation: Operation::create(Path::new("/m/a")), cause };
        assert!(error(errno(Errno::ENOENT)).is_not_found());
        assert!(!error(errno(Errno::EACCES)).is_not_found());
        assert!(!error(Cause::NotSubvolume).is_not_found());
        assert_eq!(error(errno(Errno::EACCES)).raw_os_error(), Some(13));
        assert_eq!(error(Cause::NotBtrfs).raw_os_error(), None);
    }
}
