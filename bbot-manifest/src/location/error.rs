//! What is wrong with the location of a repository.

use crate::location::kind::RepositoryType;
use crate::location::reference::GitReferenceError;
use crate::location::url::UrlError;

/// Why a text is not the location of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryLocationError {
    /// The text is empty.
    #[error("empty URL")]
    Empty,
    /// It is neither a URL nor a path.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// It is a relative path, and no base is given.
    #[error("relative filesystem path")]
    Relative,
    /// It is a relative path, and so is the base.
    #[error("base is relative filesystem path")]
    RelativeBase,
    /// The path goes above the root.
    #[error("invalid path")]
    Path,
    /// There is no path.
    #[error("empty path")]
    EmptyPath,
    /// The host consists of a prefix that canonical names leave out.
    #[error("invalid host")]
    Host,
    /// Two types are given, and they differ.
    #[error("mismatching repository types: {specified} specified, {written} in URL scheme")]
    TypeMismatch {
        /// The one that is given beside the text.
        specified: RepositoryType,
        /// The one that the text starts with.
        written: RepositoryType,
    },
    /// Repositories of this type cannot be reached by the protocol.
    #[error("unsupported scheme for {0} repository")]
    Protocol(RepositoryType),
    /// Repositories of this type have no fragment.
    #[error("unexpected fragment for {0} repository")]
    Fragment(RepositoryType),
    /// There is no format version in the path.
    #[error("missing repository version")]
    NoVersion,
    /// The format version in the path is not 1.
    #[error("invalid repository version")]
    Version,
    /// The fragment is not a list of git references.
    #[error(transparent)]
    Reference(#[from] GitReferenceError),
}
