//! Which folders of the host a server serves.

use std::path::PathBuf;

use super::quota::WriteLimits;

/// Which files clients may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WritePolicy {
    /// None: all write requests are refused.
    Refuse,
    /// New files only.
    Create,
    /// New files, and files that exist, which are replaced.
    #[default]
    Overwrite,
}

/// The folders that a server reads from and writes to.
///
/// Each folder is opened once, when the store is made; its path may be a symbolic link. No name in
/// a request and no link in a folder leads out of it.
///
/// ```
/// use bbot_tftp::{Namespace, WriteLimits, WritePolicy};
/// let namespace = Namespace::new()
///     .read("/srv/tftp")
///     .write("/srv/uploads")
///     .policy(WritePolicy::Create)
///     .limits(WriteLimits::default().with_total_bytes(1 << 30));
/// assert_eq!(namespace.limits.total_bytes, 1 << 30);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Namespace {
    /// The folder that files are read from; without it, read requests are refused.
    pub read: Option<PathBuf>,
    /// The folder that files are written to; without it, write requests are refused.
    pub write: Option<PathBuf>,
    /// Which files clients may write.
    pub policy: WritePolicy,
    /// Limits on the files that clients write.
    pub limits: WriteLimits,
}

impl Namespace {
    /// A namespace without folders, which refuses all requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the folder that files are read from.
    #[must_use]
    pub fn read(self, folder: impl Into<PathBuf>) -> Self {
        Self { read: Some(folder.into()), ..self }
    }

    /// Sets the folder that files are written to.
    #[must_use]
    pub fn write(self, folder: impl Into<PathBuf>) -> Self {
        Self { write: Some(folder.into()), ..self }
    }

    /// Sets which files clients may write.
    #[must_use]
    pub fn policy(self, policy: WritePolicy) -> Self {
        Self { policy, ..self }
    }

    /// Sets the limits on the files that clients write.
    #[must_use]
    pub fn limits(self, limits: WriteLimits) -> Self {
        Self { limits, ..self }
    }
}
