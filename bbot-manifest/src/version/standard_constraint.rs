//! Constraints on standard versions.

use std::fmt;
use std::str::FromStr;

use crate::text_value::serde_as_text;
use crate::version::standard::{
    PART_MAX, StandardVersion, StandardVersionError, StandardVersionForms,
};

/// A range of standard versions: `>= 1.2.3`, `^1.2.3`, `[1.2.3 2.0.0)`.
///
/// ```
/// use bbot_manifest::StandardConstraint;
///
/// let constraint: StandardConstraint = "[1.2.3 2.0.0-)".parse()?;
/// assert!(constraint.is_satisfied_by(&"1.9.0".parse()?));
/// assert_eq!(constraint.to_string(), "^1.2.3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandardConstraint {
    min: Option<StandardVersion>,
    max: Option<StandardVersion>,
    min_open: bool,
    max_open: bool,
}

/// Which end of a range something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeEnd {
    /// The only version of a comparison.
    Only,
    /// The lower end.
    Min,
    /// The upper end.
    Max,
}

impl fmt::Display for RangeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only => "version",
            Self::Min => "min version",
            Self::Max => "max version",
        })
    }
}

/// Why a text is not a constraint on standard versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StandardConstraintError {
    /// It is neither a comparison nor a range.
    Form,
    /// A version is not there.
    NoVersion(RangeEnd),
    /// The range has no closing bracket.
    NoClosingBracket,
    /// Something follows the closing bracket.
    Junk,
    /// A version is wrong.
    Version {
        /// Which one.
        end: RangeEnd,
        /// What is wrong with it.
        source: StandardVersionError,
    },
    /// The range is empty: its lower end is above its upper one.
    Reversed,
    /// The range is empty: one version, which does not belong to it.
    NotClosed,
    /// The range is one version that cannot exist.
    OnlyEarliest,
    /// The dependent's version is an earliest one.
    DependentEarliest,
}

impl fmt::Display for StandardConstraintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("invalid constraint"),
            Self::NoVersion(end) => write!(f, "no {end}"),
            Self::NoClosingBracket => f.write_str("no closing bracket"),
            Self::Junk => f.write_str("junk after constraint"),
            Self::Version { end, source } => write!(f, "invalid {end}: {source}"),
            Self::Reversed => f.write_str("min version is greater than max version"),
            Self::NotClosed => f.write_str("equal version endpoints not closed"),
            Self::OnlyEarliest => f.write_str("equal version endpoints are earliest"),
            Self::DependentEarliest => f.write_str("dependent version is earliest"),
        }
    }
}

impl std::error::Error for StandardConstraintError {}

type E = StandardConstraintError;

/// The shortcut operators.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shortcut {
    /// `~`: the same minor version.
    Tilde,
    /// `^`: the same major version, or minor version if that is 0.
    Caret,
}

const SPACES: [char; 2] = [' ', '\t'];

impl StandardConstraint {
    /// Parses a constraint. `$` in it stands for the dependent's version, if that is given.
    ///
    /// # Errors
    ///
    /// The text is not a constraint, or the dependent's version cannot be used.
    pub fn parse(
        text: &str,
        dependent: Option<&StandardVersion>,
    ) -> Result<Self, StandardConstraintError> {
        if dependent.is_some_and(StandardVersion::is_earliest) {
            return Err(E::DependentEarliest);
        }
        if text.starts_with(['(', '[']) {
            return Self::parse_range(text, dependent);
        }
        for (operator, shortcut) in [('~', Shortcut::Tilde), ('^', Shortcut::Caret)] {
            if let Some(rest) = text.strip_prefix(operator) {
                return Self::parse_shortcut(shortcut, rest, dependent);
            }
        }
        Self::parse_comparison(text, dependent)
    }

    fn parse_shortcut(
        shortcut: Shortcut,
        rest: &str,
        dependent: Option<&StandardVersion>,
    ) -> Result<Self, StandardConstraintError> {
        let text = rest.trim_start_matches(SPACES);
        if text.is_empty() {
            return Err(E::NoVersion(RangeEnd::Only));
        }
        let invalid = |source| E::Version { end: RangeEnd::Only, source };
        let version = version(text, dependent, RangeEnd::Only, StandardVersionForms::EARLIEST)?;
        if text == "$" && dependent.is_some() {
            Self::around(shortcut, &version).map_err(invalid)
        } else {
            Self::from_shortcut(shortcut, version).map_err(invalid)
        }
    }

    fn from_shortcut(
        shortcut: Shortcut,
        min: StandardVersion,
    ) -> Result<Self, StandardVersionError> {
        let max = shortcut_end(shortcut, &min)?;
        Ok(Self { min: Some(min), max: Some(max), min_open: false, max_open: true })
    }

    /// Returns the constraint that a shortcut operator makes of the dependent's version.
    fn around(
        shortcut: Shortcut,
        dependent: &StandardVersion,
    ) -> Result<Self, StandardVersionError> {
        let (Some(major), Some(minor), Some(patch)) =
            (dependent.major(), dependent.minor(), dependent.patch())
        else {
            return Err(StandardVersionError::DependentStub);
        };
        let epoch = dependent.epoch();
        let caret = shortcut == Shortcut::Caret && major != 0;
        let (zeroed, was_zero) = if caret {
            (StandardVersion::release(epoch, major, 0, 0), (minor, patch) == (0, 0))
        } else {
            (StandardVersion::release(epoch, major, minor, 0), patch == 0)
        };
        match dependent.pre_release() {
            Some(number) if dependent.is_snapshot() && patch == 0 => {
                if [499, 999].contains(&number) {
                    return Err(StandardVersionError::PreRelease);
                }
                let base = StandardVersion::release(epoch, major, minor, 0);
                let min = Some(base.clone().with_pre_release(number, 1));
                let max = Some(base.with_pre_release(number + 1, 0));
                Ok(Self { min, max, min_open: false, max_open: true })
            }
            Some(_) if was_zero => Self::from_shortcut(shortcut, zeroed.with_pre_release(1, 0)),
            _ => Self::from_shortcut(shortcut, zeroed),
        }
    }

    fn parse_comparison(
        text: &str,
        dependent: Option<&StandardVersion>,
    ) -> Result<Self, StandardConstraintError> {
        let operator = ["==", ">=", "<=", ">", "<"].into_iter().find(|o| text.starts_with(o));
        let operator = operator.ok_or(E::Form)?;
        let text = text[operator.len()..].trim_start_matches(SPACES);
        if text.is_empty() {
            return Err(E::NoVersion(RangeEnd::Only));
        }
        let forms = match operator {
            "==" => StandardVersionForms::ORDINARY,
            _ => StandardVersionForms::EARLIEST,
        };
        let version = version(text, dependent, RangeEnd::Only, forms)?;
        let (min, max) = match operator {
            "==" => (Some(version.clone()), Some(version)),
            ">" | ">=" => (Some(version), None),
            _ => (None, Some(version)),
        };
        // An end that is not there counts as open.
        let min_open = min.is_none() || operator == ">";
        let max_open = max.is_none() || operator == "<";
        Ok(Self { min, max, min_open, max_open })
    }

    fn parse_range(
        text: &str,
        dependent: Option<&StandardVersion>,
    ) -> Result<Self, StandardConstraintError> {
        let forms = StandardVersionForms::EARLIEST;
        let min_open = text.starts_with('(');
        let rest = text[1..].trim_start_matches(SPACES);
        if rest.is_empty() {
            return Err(E::NoVersion(RangeEnd::Min));
        }
        let (min, rest) = rest.split_at(rest.find(SPACES).unwrap_or(rest.len()));
        let min = version(min, dependent, RangeEnd::Min, forms)?;
        let rest = rest.trim_start_matches(SPACES);
        if rest.is_empty() {
            return Err(E::NoVersion(RangeEnd::Max));
        }
        let (max, rest) = rest.split_at(rest.find([' ', '\t', ')', ']']).unwrap_or(rest.len()));
        let max = version(max, dependent, RangeEnd::Max, forms)?;
        // Other implementations skip whatever stands before the bracket; so do we.
        let bracket = rest.find([')', ']']).ok_or(E::NoClosingBracket)?;
        let (bracket, junk) = rest[bracket..].split_at(1);
        if !junk.is_empty() {
            return Err(E::Junk);
        }
        Self::range(min, min_open, max, bracket == ")")
    }

    pub(crate) fn range(
        min: StandardVersion,
        min_open: bool,
        max: StandardVersion,
        max_open: bool,
    ) -> Result<Self, StandardConstraintError> {
        if min > max {
            return Err(E::Reversed);
        }
        if min == max && (min_open || max_open) {
            return Err(E::NotClosed);
        }
        if min == max && min.is_earliest() {
            return Err(E::OnlyEarliest);
        }
        Ok(Self { min: Some(min), max: Some(max), min_open, max_open })
    }

    /// Returns the lower end.
    pub fn min(&self) -> Option<&StandardVersion> {
        self.min.as_ref()
    }

    /// Returns the upper end.
    pub fn max(&self) -> Option<&StandardVersion> {
        self.max.as_ref()
    }

    /// Whether the lower end is not there or does not belong to the range.
    pub fn is_min_open(&self) -> bool {
        self.min_open
    }

    /// Whether the upper end is not there or does not belong to the range.
    pub fn is_max_open(&self) -> bool {
        self.max_open
    }

    /// Whether `version` is in the range.
    pub fn is_satisfied_by(&self, version: &StandardVersion) -> bool {
        let above =
            self.min.as_ref().is_none_or(|min| version > min || (version == min && !self.min_open));
        let below =
            self.max.as_ref().is_none_or(|max| version < max || (version == max && !self.max_open));
        above && below
    }
}

/// Parses one version of a constraint.
fn version(
    text: &str,
    dependent: Option<&StandardVersion>,
    end: RangeEnd,
    forms: StandardVersionForms,
) -> Result<StandardVersion, StandardConstraintError> {
    let version = match dependent {
        Some(dependent) if text == "$" => {
            if dependent.is_stub() {
                Err(StandardVersionError::DependentStub)
            } else if dependent.is_latest_snapshot() {
                Err(StandardVersionError::DependentLatestSnapshot)
            } else {
                Ok(dependent.without_revision())
            }
        }
        _ => StandardVersion::parse(text, forms),
    };
    version.map_err(|source| E::Version { end, source })
}

/// Returns the open upper end of the range that a shortcut operator makes.
fn shortcut_end(
    shortcut: Shortcut,
    min: &StandardVersion,
) -> Result<StandardVersion, StandardVersionError> {
    let (Some(major), Some(minor)) = (min.major(), min.minor()) else {
        return Err(StandardVersionError::Major);
    };
    let epoch = min.epoch();
    if shortcut == Shortcut::Caret && major != 0 {
        if major == PART_MAX {
            return Err(StandardVersionError::Major);
        }
        return Ok(StandardVersion::earliest(epoch, major + 1, 0, 0));
    }
    if minor == PART_MAX {
        return Err(StandardVersionError::Minor);
    }
    Ok(StandardVersion::earliest(epoch, major, minor + 1, 0))
}

/// Returns the shortcut operator that makes the range from `min` up to `max`.
fn shortcut_for(min: &StandardVersion, max: &StandardVersion) -> Option<char> {
    let fits = |shortcut| shortcut_end(shortcut, min).is_ok_and(|end| end == *max);
    if fits(Shortcut::Caret) {
        Some('^')
    } else if fits(Shortcut::Tilde) {
        Some('~')
    } else {
        None
    }
}

impl FromStr for StandardConstraint {
    type Err = StandardConstraintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, None)
    }
}

impl fmt::Display for StandardConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = match (&self.min, &self.max) {
            (Some(min), Some(max)) => (min, max),
            (Some(min), None) => {
                return write!(f, "{} {min}", if self.min_open { ">" } else { ">=" });
            }
            (None, Some(max)) => {
                return write!(f, "{} {max}", if self.max_open { "<" } else { "<=" });
            }
            (None, None) => return Ok(()),
        };
        if min == max {
            return write!(f, "== {min}");
        }
        if !self.min_open
            && self.max_open
            && let Some(operator) = shortcut_for(min, max)
        {
            return write!(f, "{operator}{min}");
        }
        let open = if self.min_open { '(' } else { '[' };
        let close = if self.max_open { ')' } else { ']' };
        write!(f, "{open}{min} {max}{close}")
    }
}

serde_as_text!(StandardConstraint);
