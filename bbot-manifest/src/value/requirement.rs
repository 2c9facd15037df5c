//! Requirements of a task.

use std::fmt;
use std::str::FromStr;

use crate::comment::split_comment;
use crate::text_value::serde_as_text;

/// Something that a package needs beside other packages: `* linux | macos ; comment`.
///
/// The text is kept as it came: what it means is between the package and those who build it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRequirement {
    text: String,
    value: String,
    comment: String,
}

/// The text is empty, so it requires nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskRequirementError;

impl fmt::Display for TaskRequirementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("empty requirement")
    }
}

impl std::error::Error for TaskRequirementError {}

impl TaskRequirement {
    /// Whether it is needed to build the package, rather than to use it.
    pub fn is_build_time(&self) -> bool {
        self.value.starts_with('*')
    }

    /// Returns the alternatives, without the spaces around them.
    pub fn alternatives(&self) -> impl Iterator<Item = &str> {
        let value = self.value.strip_prefix('*').unwrap_or(&self.value);
        value.split('|').map(str::trim)
    }

    /// Returns the comment; empty if there is none.
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

impl FromStr for TaskRequirement {
    type Err = TaskRequirementError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(TaskRequirementError);
        }
        let (value, comment) = split_comment(text);
        Ok(Self { text: text.to_owned(), value, comment })
    }
}

impl fmt::Display for TaskRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(TaskRequirement);
