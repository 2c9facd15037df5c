//! Errors of the outbox.

use std::path::PathBuf;

use crate::fs::FileError;

/// Why an operation on the outbox failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboxError {
    /// An operation on the file system failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not contain what was written, or a later version of the agent has written it.
    #[error("cannot use {}: {problem}", path.display())]
    Unusable { path: PathBuf, problem: String },
    /// The entry cannot be written as a manifest.
    #[error("cannot write the result as a manifest")]
    Unwritable { source: bbot_manifest::Error },
    /// An entry could be neither made durable nor removed: nothing is stored until what is seen of
    /// it is durable.
    #[error(
        "{} could be neither synchronised nor removed: no result is stored beside it",
        path.display()
    )]
    Uncertain { path: PathBuf },
}
