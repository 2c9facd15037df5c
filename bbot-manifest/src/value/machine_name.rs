//! Names of machines.

use std::fmt;
use std::str::FromStr;

use crate::text_value::serde_as_text;

/// The name of a machine: ASCII letters, digits and `._+-`, not only dots.
///
/// Such a name can be a folder's and a TFTP file's without escaping.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineName(String);

/// The text is not a machine name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MachineNameError {
    /// It is empty.
    Empty,
    /// It contains a character that does not belong there.
    Character(char),
    /// It consists of dots.
    Dots,
}

impl fmt::Display for MachineNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("machine name is empty"),
            Self::Character(c) => write!(f, "{c:?} in machine name"),
            Self::Dots => f.write_str("machine name consists of dots"),
        }
    }
}

impl std::error::Error for MachineNameError {}

impl MachineName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for MachineName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for MachineName {
    type Err = MachineNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if text.is_empty() {
            Err(MachineNameError::Empty)
        } else if let Some(c) = text.chars().find(|&c| !allowed(c)) {
            Err(MachineNameError::Character(c))
        } else if text.bytes().all(|b| b == b'.') {
            Err(MachineNameError::Dots)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(MachineName);
