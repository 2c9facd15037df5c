//! Target triplets.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;

/// The target that a package is built for: `x86_64-linux-gnu`, `x86_64-microsoft-win32-msvc14.3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetTriplet(String);

/// Why a text is not a target triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetTripletError {
    /// It has fewer than two components.
    #[error("CPU and system expected in target triplet")]
    Components,
    /// A component is empty.
    #[error("empty component in target triplet")]
    EmptyComponent,
    /// It contains a character that is not an ASCII letter, a digit or one of `._+-`.
    #[error("{0:?} in target triplet")]
    Character(char),
}

impl TargetTriplet {
    /// Returns the triplet.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first component, the CPU.
    pub fn cpu(&self) -> &str {
        self.0.split_once('-').map_or(&*self.0, |(cpu, _)| cpu)
    }
}

impl AsRef<str> for TargetTriplet {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for TargetTriplet {
    type Err = TargetTripletError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if let Some(c) = text.chars().find(|&c| !allowed(c)) {
            return Err(TargetTripletError::Character(c));
        }
        if text.split('-').any(str::is_empty) {
            return Err(TargetTripletError::EmptyComponent);
        }
        if !text.contains('-') {
            return Err(TargetTripletError::Components);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TargetTriplet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(TargetTriplet);
