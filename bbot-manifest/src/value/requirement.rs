//! The requirements of a package.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;
use crate::value::comment::Commented;

/// A requirement of a package other than packages: `* linux | macos ; comment`.
///
/// The text is kept as it is: the alternatives have no meaning to the protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRequirement {
    text: String,
    commented: Commented,
}

/// The text is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("empty requirement")]
#[non_exhaustive]
pub struct TaskRequirementError;

impl TaskRequirement {
    /// Whether building the package requires it, rather than using the package.
    pub fn is_build_time(&self) -> bool {
        self.commented.value.starts_with('*')
    }

    /// Returns the alternatives, without the spaces around them.
    pub fn alternatives(&self) -> impl Iterator<Item = &str> {
        let value = &*self.commented.value;
        let value = value.strip_prefix('*').unwrap_or(value);
        value.split('|').map(str::trim)
    }

    /// Returns the comment; empty if there is none.
    pub fn comment(&self) -> &str {
        &self.commented.comment
    }
}

impl FromStr for TaskRequirement {
    type Err = TaskRequirementError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(TaskRequirementError);
        }
        Ok(Self { text: text.to_owned(), commented: Commented::split(text) })
    }
}

impl fmt::Display for TaskRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(TaskRequirement);
