//! Constraints on standard versions.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;
use crate::version::constraint::{self, Comparison, Interval, Range, RangeEnd, Shortcut, Syntax};
use crate::version::standard::{
    PART_MAX, StandardVersion, StandardVersionError, StandardVersionForms,
};

/// A range of standard versions: `>= 1.2.3`, `^1.2.3`, `[1.2.3 2.0.0)`.
///
/// ```
/// use bbot_manifest::version::StandardConstraint;
///
/// let constraint: StandardConstraint = "[1.2.3 2.0.0-)".parse()?;
/// assert!(constraint.is_satisfied_by(&"1.9.0".parse()?));
/// assert_eq!(constraint.to_string(), "^1.2.3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StandardConstraint {
    interval: Interval<StandardVersion>,
}

/// Why a text is not a constraint on standard versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StandardConstraintError {
    /// It is neither a comparison nor a range.
    #[error("invalid constraint")]
    Form,
    /// A version is missing.
    #[error("no {0}")]
    NoVersion(RangeEnd),
    /// The range has no closing bracket.
    #[error("no closing bracket")]
    NoClosingBracket,
    /// Text follows the closing bracket.
    #[error("junk after constraint")]
    Junk,
    /// A version is invalid.
    #[error("invalid {end}")]
    Version {
        /// The version.
        end: RangeEnd,
        /// What is wrong with it.
        source: StandardVersionError,
    },
    /// The range is empty: its lower end is above its upper one.
    #[error("min version is greater than max version")]
    Reversed,
    /// The range is empty: both ends are one version, which is not in the range.
    #[error("equal version endpoints not closed")]
    NotClosed,
    /// The range is one version that cannot exist.
    #[error("equal version endpoints are earliest")]
    OnlyEarliest,
    /// The dependent's version is an earliest one.
    #[error("dependent version is earliest")]
    DependentEarliest,
}

type E = StandardConstraintError;

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
        let interval = match constraint::parse(text).ok_or(E::Form)? {
            Syntax::Range(range) => parse_range(&range, dependent),
            Syntax::Shortcut { operator, version } => parse_shortcut(operator, version, dependent),
            Syntax::Comparison { operator, version } => {
                parse_comparison(operator, version, dependent)
            }
        };
        interval.map(|interval| Self { interval })
    }

    /// Returns the range between two versions.
    pub(crate) fn range(
        min: StandardVersion,
        min_open: bool,
        max: StandardVersion,
        max_open: bool,
    ) -> Result<Self, StandardConstraintError> {
        let interval = range(min, min_open, max, max_open)?;
        Ok(Self { interval })
    }

    /// Returns the lower end.
    pub fn min(&self) -> Option<&StandardVersion> {
        self.interval.min.as_ref()
    }

    /// Returns the upper end.
    pub fn max(&self) -> Option<&StandardVersion> {
        self.interval.max.as_ref()
    }

    /// Whether the lower end is absent or not in the range.
    pub fn is_min_open(&self) -> bool {
        self.interval.min_open
    }

    /// Whether the upper end is absent or not in the range.
    pub fn is_max_open(&self) -> bool {
        self.interval.max_open
    }

    /// Whether `version` is in the range.
    pub fn is_satisfied_by(&self, version: &StandardVersion) -> bool {
        let above = self
            .interval
            .min
            .as_ref()
            .is_none_or(|min| version > min || (version == min && !self.interval.min_open));
        let below = self
            .interval
            .max
            .as_ref()
            .is_none_or(|max| version < max || (version == max && !self.interval.max_open));
        above && below
    }
}

fn parse_range(
    text: &Range<'_>,
    dependent: Option<&StandardVersion>,
) -> Result<Interval<StandardVersion>, StandardConstraintError> {
    if text.min.is_empty() {
        return Err(E::NoVersion(RangeEnd::Min));
    }
    let forms = StandardVersionForms::EARLIEST;
    let min = version(text.min, dependent, RangeEnd::Min, forms)?;
    let max = text.max.ok_or(E::NoVersion(RangeEnd::Max))?;
    let max = version(max, dependent, RangeEnd::Max, forms)?;
    let max_open = text.max_open.ok_or(E::NoClosingBracket)?;
    if text.junk.is_empty() { range(min, text.min_open, max, max_open) } else { Err(E::Junk) }
}

fn range(
    min: StandardVersion,
    min_open: bool,
    max: StandardVersion,
    max_open: bool,
) -> Result<Interval<StandardVersion>, StandardConstraintError> {
    if min > max {
        return Err(E::Reversed);
    }
    if min == max && (min_open || max_open) {
        return Err(E::NotClosed);
    }
    if min == max && min.is_earliest() {
        return Err(E::OnlyEarliest);
    }
    Ok(Interval { min: Some(min), max: Some(max), min_open, max_open })
}

fn parse_comparison(
    operator: Comparison,
    text: &str,
    dependent: Option<&StandardVersion>,
) -> Result<Interval<StandardVersion>, StandardConstraintError> {
    if text.is_empty() {
        return Err(E::NoVersion(RangeEnd::Only));
    }
    let forms = match operator {
        Comparison::Equal => StandardVersionForms::ORDINARY,
        _ => StandardVersionForms::EARLIEST,
    };
    let version = version(text, dependent, RangeEnd::Only, forms)?;
    Ok(Interval::compared(operator, version))
}

fn parse_shortcut(
    operator: Shortcut,
    text: &str,
    dependent: Option<&StandardVersion>,
) -> Result<Interval<StandardVersion>, StandardConstraintError> {
    if text.is_empty() {
        return Err(E::NoVersion(RangeEnd::Only));
    }
    let version = version(text, dependent, RangeEnd::Only, StandardVersionForms::EARLIEST)?;
    let interval = if text == "$" && dependent.is_some() {
        shortcut_of_dependent(operator, &version)
    } else {
        shortcut(operator, version)
    };
    interval.map_err(|source| E::Version { end: RangeEnd::Only, source })
}

/// Returns the interval of a shortcut operator and a version.
fn shortcut(
    operator: Shortcut,
    min: StandardVersion,
) -> Result<Interval<StandardVersion>, StandardVersionError> {
    let max = shortcut_end(operator, &min)?;
    Ok(Interval { min: Some(min), max: Some(max), min_open: false, max_open: true })
}

/// Returns the interval of a shortcut operator and the version of the dependent.
fn shortcut_of_dependent(
    operator: Shortcut,
    dependent: &StandardVersion,
) -> Result<Interval<StandardVersion>, StandardVersionError> {
    let (Some(major), Some(minor), Some(patch)) =
        (dependent.major(), dependent.minor(), dependent.patch())
    else {
        return Err(StandardVersionError::DependentStub);
    };
    let epoch = dependent.epoch();
    let caret = operator == Shortcut::Caret && major != 0;
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
            Ok(Interval { min, max, min_open: false, max_open: true })
        }
        Some(_) if was_zero => shortcut(operator, zeroed.with_pre_release(1, 0)),
        _ => shortcut(operator, zeroed),
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

/// Returns the upper end of the interval of a shortcut operator.
fn shortcut_end(
    operator: Shortcut,
    min: &StandardVersion,
) -> Result<StandardVersion, StandardVersionError> {
    let (Some(major), Some(minor)) = (min.major(), min.minor()) else {
        return Err(StandardVersionError::Major);
    };
    let epoch = min.epoch();
    if operator == Shortcut::Caret && major != 0 {
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

/// Returns the shortcut operator whose interval is that from `min` up to `max`.
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
        let Interval { min_open, max_open, .. } = self.interval;
        self.interval.write(f, |min, max| {
            let operator =
                if !min_open && max_open { shortcut_for(min, max)? } else { return None };
            Some(format!("{operator}{min}"))
        })
    }
}

serde_as_text!(StandardConstraint);
