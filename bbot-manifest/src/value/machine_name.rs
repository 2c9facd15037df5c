//! The names of machines.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;

/// The name of a machine: ASCII letters, digits and `._+-`, but not only dots (D9).
///
/// Such a name is also the name of a folder and of a file in TFTP, without escaping.
///
/// ```
/// use bbot_manifest::MachineName;
///
/// let name: MachineName = "linux_debian_12-gcc_13".parse()?;
/// assert_eq!(name.as_str(), "linux_debian_12-gcc_13");
/// assert!("../etc".parse::<MachineName>().is_err());
/// # Ok::<(), bbot_manifest::protocol::MachineNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineName(String);

/// The text is not a machine name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineNameError {
    /// It is empty.
    #[error("machine name is empty")]
    Empty,
    /// It contains another character.
    #[error("{0:?} in machine name")]
    Character(char),
    /// It consists of dots.
    #[error("machine name consists of dots")]
    Dots,
}

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
