//! Whether an agent builds interactively.

use std::fmt;
use std::str::FromStr;

use crate::text_value::serde_as_text;

/// Which builds an agent takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum InteractiveMode {
    /// Builds that are not interactive.
    #[default]
    False,
    /// Interactive builds.
    True,
    /// All builds.
    Both,
}

/// The text is not an interactive mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InteractiveModeError;

impl fmt::Display for InteractiveModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("false, true or both expected")
    }
}

impl std::error::Error for InteractiveModeError {}

impl FromStr for InteractiveMode {
    type Err = InteractiveModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "false" => Ok(Self::False),
            "true" => Ok(Self::True),
            "both" => Ok(Self::Both),
            _ => Err(InteractiveModeError),
        }
    }
}

impl fmt::Display for InteractiveMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::False => "false",
            Self::True => "true",
            Self::Both => "both",
        })
    }
}

serde_as_text!(InteractiveMode);
