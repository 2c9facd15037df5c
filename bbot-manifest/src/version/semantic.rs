//! Semantic versions.

use std::fmt;

use crate::serde_text::serde_as_text;
use crate::version::number::Cursor;
use crate::version::standard::PART_MAX;

/// A semantic version: `MAJOR[.MINOR[.PATCH]][BUILD]`.
///
/// The order is by the parts and then by the bytes of the build text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SemanticVersion {
    /// The major version.
    pub major: u64,
    /// The minor version.
    pub minor: u64,
    /// The patch version.
    pub patch: u64,
    /// The build text, including its separator; may be empty.
    pub build: String,
}

/// The forms of a semantic version that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SemanticVersionForms<'a> {
    /// The parts that may be absent.
    pub omit: Omit,
    /// The build text that is accepted.
    pub build: Build<'a>,
}

/// The parts of a semantic version that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Omit {
    /// None.
    #[default]
    Nothing,
    /// The patch version.
    Patch,
    /// The patch version, or both it and the minor version.
    Minor,
}

/// The build text that a semantic version may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Build<'a> {
    /// None.
    #[default]
    Nothing,
    /// Text that starts with one of these characters, such as `-+`.
    After(&'a str),
    /// Any text.
    Any,
}

/// Why a text is not a semantic version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SemanticVersionError {
    /// The major version is not a number of 64 bits.
    #[error("invalid major version")]
    Major,
    /// The minor version is not a number of 64 bits.
    #[error("invalid minor version")]
    Minor,
    /// The patch version is not a number of 64 bits.
    #[error("invalid patch version")]
    Patch,
    /// No `.` follows the major version.
    #[error("'.' expected after major version")]
    MajorEnd,
    /// No `.` follows the minor version.
    #[error("'.' expected after minor version")]
    MinorEnd,
    /// Text follows the version.
    #[error("junk after version")]
    Junk,
    /// The major version is too large for the numeric form.
    #[error("major version greater than 99999")]
    MajorTooLarge,
    /// The minor version is too large for the numeric form.
    #[error("minor version greater than 99999")]
    MinorTooLarge,
    /// The patch version is too large for the numeric form.
    #[error("patch version greater than 99999")]
    PatchTooLarge,
}

type E = SemanticVersionError;

impl SemanticVersion {
    /// Parses a version.
    ///
    /// # Errors
    ///
    /// The text is not a version of these forms.
    pub fn parse(
        text: &str,
        forms: SemanticVersionForms<'_>,
    ) -> Result<Self, SemanticVersionError> {
        let mut cursor = Cursor { rest: text };
        let major = cursor.number(0..=u64::MAX).ok_or(E::Major)?;
        let omit_minor = forms.omit == Omit::Minor;
        let omit_patch = forms.omit != Omit::Nothing;
        let minor = part(&mut cursor, omit_minor, E::MajorEnd, E::Minor)?;
        let patch = match minor {
            Some(_) => part(&mut cursor, omit_patch, E::MinorEnd, E::Patch)?,
            None => None,
        };
        let build = cursor.rest;
        let allowed = match forms.build {
            Build::Nothing => build.is_empty(),
            Build::After(separators) => build.chars().next().is_none_or(|c| separators.contains(c)),
            Build::Any => true,
        };
        if !allowed {
            return Err(E::Junk);
        }
        let (minor, patch) = (minor.unwrap_or(0), patch.unwrap_or(0));
        Ok(Self { major, minor, patch, build: build.to_owned() })
    }

    /// Returns the number AAAAABBBBBCCCCC0000 of a standard version with these parts.
    ///
    /// # Errors
    ///
    /// A part is greater than 99999.
    pub fn numeric(&self) -> Result<u64, SemanticVersionError> {
        let check = |part, error| if part > PART_MAX { Err(error) } else { Ok(part) };
        let major = check(self.major, E::MajorTooLarge)?;
        let minor = check(self.minor, E::MinorTooLarge)?;
        let patch = check(self.patch, E::PatchTooLarge)?;
        Ok(major * 100_000_000_000_000 + minor * 1_000_000_000 + patch * 10_000)
    }
}

/// Parses `.PART`. If the part may be absent, other text is left for the build text.
fn part(
    cursor: &mut Cursor<'_>,
    omit: bool,
    no_dot: SemanticVersionError,
    invalid: SemanticVersionError,
) -> Result<Option<u64>, SemanticVersionError> {
    let mut after_dot = *cursor;
    if !after_dot.take('.') {
        return if omit { Ok(None) } else { Err(no_dot) };
    }
    match after_dot.number(0..=u64::MAX) {
        Some(number) => {
            *cursor = after_dot;
            Ok(Some(number))
        }
        None if omit => Ok(None),
        None => Err(invalid),
    }
}

impl std::str::FromStr for SemanticVersion {
    type Err = SemanticVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let forms = SemanticVersionForms { omit: Omit::Nothing, build: Build::After("-+") };
        Self::parse(text, forms)
    }
}

impl fmt::Display for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}{}", self.major, self.minor, self.patch, self.build)
    }
}

serde_as_text!(SemanticVersion);
