//! The names of packages.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::serde_text::serde_as_text;

/// The name of a package.
///
/// The case of ASCII letters does not matter when names are compared; the text keeps it.
///
/// ```
/// use bbot_manifest::PackageName;
///
/// let name: PackageName = "libHello.bash".parse()?;
/// assert_eq!(name.base(), "libHello");
/// assert_eq!(name.extension(), "bash");
/// assert_eq!(name, "libhello.BASH".parse()?);
/// # Ok::<(), bbot_manifest::protocol::PackageNameError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackageName(String);

/// Why a text is not a package name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageNameError {
    /// It has fewer than two characters.
    #[error("length is less than two characters")]
    Length,
    /// It is a name that Windows or the build system reserves.
    #[error("illegal name")]
    Reserved,
    /// It does not start with an ASCII letter.
    #[error("illegal first character (must be alphabetic)")]
    First,
    /// It contains a character that is not an ASCII letter, a digit or one of `_+-.`.
    #[error("illegal character")]
    Middle,
    /// It does not end with an ASCII letter, a digit or `+`.
    #[error("illegal last character (must be alphabetic, digit, or plus)")]
    Last,
}

impl PackageName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without its extension.
    pub fn base(&self) -> &str {
        self.split().0
    }

    /// Returns the part after the last dot; empty if there is none.
    pub fn extension(&self) -> &str {
        self.split().1
    }

    /// Returns the form for the name of a variable: with `_` for each character that is neither an
    /// ASCII letter nor a digit.
    pub fn variable(&self) -> String {
        self.0.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    }

    fn split(&self) -> (&str, &str) {
        match self.0.rsplit_once('.') {
            Some((base, extension)) if !base.is_empty() && !extension.is_empty() => {
                (base, extension)
            }
            _ => (&self.0, ""),
        }
    }

    /// Returns the bytes by which names are compared.
    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

fn is_reserved(text: &str) -> bool {
    let device = |prefix| {
        text.strip_prefix(prefix).is_some_and(|n: &str| matches!(n.as_bytes(), [b'1'..=b'9']))
    };
    matches!(text, "build" | "con" | "prn" | "aux" | "nul") || device("com") || device("lpt")
}

impl AsRef<str> for PackageName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackageName {
    type Err = PackageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let [first, middle @ .., last] = text.as_bytes() else {
            return Err(PackageNameError::Length);
        };
        if is_reserved(text) {
            return Err(PackageNameError::Reserved);
        }
        if !first.is_ascii_alphabetic() {
            return Err(PackageNameError::First);
        }
        if !middle.iter().all(|b| b.is_ascii_alphanumeric() || b"_+-.".contains(b)) {
            return Err(PackageNameError::Middle);
        }
        if !last.is_ascii_alphanumeric() && *last != b'+' {
            return Err(PackageNameError::Last);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Ord for PackageName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl PartialOrd for PackageName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PackageName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for PackageName {}

impl Hash for PackageName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.folded() {
            state.write_u8(byte);
        }
    }
}

serde_as_text!(PackageName);
