//! Semantic versions, as some tools print them.

use std::fmt;

use crate::text_value::serde_as_text;
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
    /// What follows, with its separator.
    pub build: String,
}

/// What may be absent from and added to a semantic version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SemanticVersionForms<'a> {
    /// The parts that may be absent.
    pub omit: Omit,
    /// The build text that is allowed.
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
    /// The patch version, or the minor one and it.
    Minor,
}

/// The build text that a semantic version may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Build<'a> {
    /// None.
    #[default]
    Nothing,
    /// Text that starts with one of these characters; `-+` is usual.
    After(&'a str),
    /// Any text.
    Any,
}

/// Why a text is not a semantic version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SemanticVersionError {
    /// The major version is not a number of 64 bits.
    Major,
    /// The minor version is not a number of 64 bits.
    Minor,
    /// The patch version is not a number of 64 bits.
    Patch,
    /// No `.` follows the major version.
    MajorEnd,
    /// No `.` follows the minor version.
    MinorEnd,
    /// Something follows the version.
    Junk,
    /// The major version is too large for the numeric form.
    MajorTooLarge,
    /// The minor version is too large for the numeric form.
    MinorTooLarge,
    /// The patch version is too large for the numeric form.
    PatchTooLarge,
}

impl fmt::Display for SemanticVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Major => "invalid major version",
            Self::Minor => "invalid minor version",
            Self::Patch => "invalid patch version",
            Self::MajorEnd => "'.' expected after major version",
            Self::MinorEnd => "'.' expected after minor version",
            Self::Junk => "junk after version",
            Self::MajorTooLarge => "major version greater than 99999",
            Self::MinorTooLarge => "minor version greater than 99999",
            Self::PatchTooLarge => "patch version greater than 99999",
        })
    }
}

impl std::error::Error for SemanticVersionError {}

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

/// Parses `.PART`; what cannot be that is left for the build text if the part may be absent.
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
