//! The fragment of a git repository: which references are fetched.

/// Why a fragment is not a list of git references.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GitReferenceError {
    /// A reference has neither name nor commit.
    #[error("missing refname or commit id for git repository")]
    Missing,
    /// A commit does not have 40 characters.
    #[error("git repository commit id must be 40 characters long")]
    CommitLength,
}

/// Checks a comma-separated list of `[+|-][NAME][@COMMIT]`; a `#` before it adds the default
/// references.
pub(super) fn check(fragment: &str) -> Result<(), GitReferenceError> {
    let list = match fragment.strip_prefix('#') {
        Some("") => return Ok(()),
        Some(list) => list,
        None => fragment,
    };
    list.split(',').try_for_each(|reference| {
        let reference = reference.strip_prefix(['+', '-']).unwrap_or(reference);
        match reference.rsplit_once('@') {
            Some((_, commit)) if !commit.is_empty() => match commit.chars().count() {
                40 => Ok(()),
                _ => Err(GitReferenceError::CommitLength),
            },
            None if !reference.is_empty() => Ok(()),
            _ => Err(GitReferenceError::Missing),
        }
    })
}
