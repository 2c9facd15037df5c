//! References to what is wanted of a git repository.

use std::fmt;

/// Why a fragment is not a list of git references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GitReferenceError {
    /// A reference has neither name nor commit.
    Missing,
    /// A commit does not have 40 characters.
    CommitLength,
}

impl fmt::Display for GitReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing refname or commit id for git repository",
            Self::CommitLength => "git repository commit id must be 40 characters long",
        })
    }
}

impl std::error::Error for GitReferenceError {}

/// Checks a list of `[+|-][NAME][@COMMIT]` with commas between; a `#` before it adds the default.
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
