//! Constraints on package versions.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;
use crate::version::constraint::{self, Comparison, Interval, Range, RangeEnd, Shortcut, Syntax};
use crate::version::package::{PackageVersion, PackageVersionError, PackageVersionForms};
use crate::version::standard::{StandardVersion, StandardVersionForms};
use crate::version::standard_constraint::{StandardConstraint, StandardConstraintError};

/// A range of package versions: `>= 1.2`, `^1.2.3`, `[1.2 2.0)`, `== $`.
///
/// `$` stands for the version of the dependent package, with which [`complete`](Self::complete)
/// replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackageConstraint {
    interval: Interval<Endpoint>,
}

/// An end of a range of package versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `$`: the version of the dependent package.
    Dependent,
    /// A version.
    Version(PackageVersion),
}

/// Why a text is not a constraint on package versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageConstraintError {
    /// It is neither a range nor a comparison.
    #[error("invalid version comparison")]
    Comparison,
    /// A version is missing.
    #[error("no {0} specified")]
    NoVersion(RangeEnd),
    /// The range has no closing bracket.
    #[error("invalid version range")]
    Range,
    /// Text follows the range.
    #[error("unexpected text after version range")]
    Junk,
    /// A version is invalid.
    #[error("invalid {end}")]
    Version {
        /// The version.
        end: RangeEnd,
        /// What is wrong with it.
        source: PackageVersionError,
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
    /// The comparison is with a version that cannot exist.
    #[error("invalid version: equal version endpoints are earliest")]
    EqualsEarliest,
    /// The operand of a shortcut operator is invalid.
    #[error(transparent)]
    Shortcut(#[from] StandardConstraintError),
    /// A shortcut operator is applied to a dependent version that is not a standard one.
    #[error("dependent version is not standard")]
    DependentNotStandard,
    /// The dependent's version is an earliest one.
    #[error("dependent version is earliest")]
    DependentEarliest,
}

type E = PackageConstraintError;

impl PackageConstraint {
    /// Returns the lower end.
    pub fn min(&self) -> Option<&Endpoint> {
        self.interval.min.as_ref()
    }

    /// Returns the upper end.
    pub fn max(&self) -> Option<&Endpoint> {
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

    /// Whether no end stands for the dependent's version.
    pub fn is_complete(&self) -> bool {
        let dependent = Some(Endpoint::Dependent);
        self.interval.min != dependent && self.interval.max != dependent
    }

    /// Replaces `$` by the version of the dependent package, without its revision.
    ///
    /// # Errors
    ///
    /// The version cannot be used, or the range is empty with it.
    pub fn complete(&self, dependent: &PackageVersion) -> Result<Self, PackageConstraintError> {
        if self.is_complete() {
            return Ok(self.clone());
        }
        if dependent.is_earliest() {
            return Err(E::DependentEarliest);
        }
        if let Some(operator) = self.dependent_shortcut() {
            let text = dependent.without_iteration().to_string();
            let version = StandardVersion::parse(&text, StandardVersionForms::ALL)
                .map_err(|_| E::DependentNotStandard)?;
            let constraint = StandardConstraint::parse(operator, Some(&version));
            return from_standard(&constraint?).map(|interval| Self { interval });
        }
        let replace = |end: &Endpoint| match end {
            Endpoint::Dependent => Endpoint::Version(dependent.without_revision()),
            Endpoint::Version(_) => end.clone(),
        };
        let Interval { min, max, min_open, max_open } = &self.interval;
        let (min_open, max_open) = (*min_open, *max_open);
        let interval = match (min.as_ref().map(replace), max.as_ref().map(replace)) {
            (Some(min), Some(max)) => range(min, min_open, max, max_open),
            (min, max) => Ok(Interval { min, max, min_open, max_open }),
        };
        interval.map(|interval| Self { interval })
    }

    /// Returns the operator if the constraint is `~$` or `^$`.
    fn dependent_shortcut(&self) -> Option<&'static str> {
        let dependent = Some(Endpoint::Dependent);
        if self.interval.min != dependent
            || self.interval.max != dependent
            || self.interval.min_open == self.interval.max_open
        {
            return None;
        }
        Some(if self.interval.max_open { "^$" } else { "~$" })
    }

    /// Whether `version` is in the range; never if the range is not complete.
    pub fn is_satisfied_by(&self, version: &PackageVersion) -> bool {
        let above = match &self.interval.min {
            None => true,
            Some(Endpoint::Version(min)) => {
                version > min || (version == min && !self.interval.min_open)
            }
            Some(Endpoint::Dependent) => false,
        };
        let below = match &self.interval.max {
            None => true,
            Some(Endpoint::Version(max)) if self.interval.max_open => version < max,
            // A closed end without revision includes all revisions.
            Some(Endpoint::Version(max)) if max.revision().is_none() => {
                version.cmp_ignore_revision(max).is_le()
            }
            Some(Endpoint::Version(max)) => version.cmp_ignore_iteration(max).is_le(),
            Some(Endpoint::Dependent) => false,
        };
        above && below
    }

    /// Returns the range as one of standard versions, if a shortcut operator can have it.
    fn as_standard(&self) -> Option<StandardConstraint> {
        let (Some(Endpoint::Version(min)), Some(Endpoint::Version(max))) =
            (&self.interval.min, &self.interval.max)
        else {
            return None;
        };
        if self.interval.min_open || !self.interval.max_open {
            return None;
        }
        let standard = |version: &PackageVersion| {
            StandardVersion::parse(&version.to_string(), StandardVersionForms::EARLIEST).ok()
        };
        StandardConstraint::range(standard(min)?, false, standard(max)?, true).ok()
    }
}

fn parse_range(text: &Range<'_>) -> Result<Interval<Endpoint>, PackageConstraintError> {
    if text.min.is_empty() {
        return Err(E::NoVersion(RangeEnd::Min));
    }
    if !text.min_ends {
        return Err(E::NoVersion(RangeEnd::Max));
    }
    let min = endpoint(text.min, RangeEnd::Min)?;
    let max = text.max.ok_or(E::NoVersion(RangeEnd::Max))?;
    if !text.max_ends {
        return Err(E::Range);
    }
    let max = endpoint(max, RangeEnd::Max)?;
    let max_open = text.max_open.ok_or(E::Range)?;
    if text.junk.is_empty() { range(min, text.min_open, max, max_open) } else { Err(E::Junk) }
}

fn range(
    min: Endpoint,
    min_open: bool,
    max: Endpoint,
    max_open: bool,
) -> Result<Interval<Endpoint>, PackageConstraintError> {
    if let (Endpoint::Version(min), Endpoint::Version(max)) = (&min, &max) {
        // A closed end without revision includes all revisions.
        let reversed = if max_open || max.revision().is_some() {
            min > max
        } else {
            min.cmp_ignore_revision(max).is_gt()
        };
        if reversed {
            return Err(E::Reversed);
        }
    }
    // `~$` and `^$` are kept as two dependent ends, one of them open.
    let shortcut = min == Endpoint::Dependent && min_open != max_open;
    if min == max && !shortcut {
        if min_open || max_open {
            return Err(E::NotClosed);
        }
        if matches!(&min, Endpoint::Version(version) if version.is_earliest()) {
            return Err(E::OnlyEarliest);
        }
    }
    Ok(Interval { min: Some(min), max: Some(max), min_open, max_open })
}

fn parse_shortcut(
    operator: Shortcut,
    version: &str,
    text: &str,
) -> Result<Interval<Endpoint>, PackageConstraintError> {
    if version == "$" {
        // The C++ implementation marks the two operators in this way, and shows these ends.
        let max_open = operator == Shortcut::Caret;
        let (min, max) = (Some(Endpoint::Dependent), Some(Endpoint::Dependent));
        return Ok(Interval { min, max, min_open: !max_open, max_open });
    }
    from_standard(&StandardConstraint::parse(text, None)?)
}

fn parse_comparison(
    operator: Comparison,
    text: &str,
) -> Result<Interval<Endpoint>, PackageConstraintError> {
    if text.is_empty() {
        return Err(E::NoVersion(RangeEnd::Only));
    }
    let version = endpoint(text, RangeEnd::Only)?;
    if operator == Comparison::Equal
        && matches!(&version, Endpoint::Version(version) if version.is_earliest())
    {
        return Err(E::EqualsEarliest);
    }
    Ok(Interval::compared(operator, version))
}

fn from_standard(
    constraint: &StandardConstraint,
) -> Result<Interval<Endpoint>, PackageConstraintError> {
    let convert = |version: Option<&StandardVersion>, end| {
        version.map(|version| endpoint(&version.to_string(), end)).transpose()
    };
    Ok(Interval {
        min: convert(constraint.min(), RangeEnd::Min)?,
        max: convert(constraint.max(), RangeEnd::Max)?,
        min_open: constraint.is_min_open(),
        max_open: constraint.is_max_open(),
    })
}

fn endpoint(text: &str, end: RangeEnd) -> Result<Endpoint, PackageConstraintError> {
    if text == "$" {
        return Ok(Endpoint::Dependent);
    }
    let forms = PackageVersionForms { fold_zero_revision: false, iteration: false };
    let version = PackageVersion::parse(text, forms);
    version.map(Endpoint::Version).map_err(|source| E::Version { end, source })
}

impl FromStr for PackageConstraint {
    type Err = PackageConstraintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let interval = match constraint::parse(text).ok_or(E::Comparison)? {
            Syntax::Range(range) => parse_range(&range),
            Syntax::Shortcut { operator, version } => parse_shortcut(operator, version, text),
            Syntax::Comparison { operator, version } => parse_comparison(operator, version),
        };
        interval.map(|interval| Self { interval })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dependent => f.write_str("$"),
            Self::Version(version) => version.fmt(f),
        }
    }
}

impl fmt::Display for PackageConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.dependent_shortcut() {
            return f.write_str(text);
        }
        self.interval.write(f, |_, _| self.as_standard().map(|constraint| constraint.to_string()))
    }
}

serde_as_text!(PackageConstraint);

#[cfg(test)]
mod tests {
    use super::*;

    /// A range that a shortcut operator can have is displayed as one of standard versions, as by
    /// the C++ implementation; the other forms keep versions as they are written.
    #[test]
    fn a_range_that_a_shortcut_can_have_is_displayed_so_that_it_is_read_again() {
        for (text, shown) in [
            ("[1.0.03 2.0.0-)", "^1.0.3"),
            ("[0.01.2 00.2.0-)", "^0.1.2"),
            ("[1.02.3-a.01+07 1.3.0-)", "~1.2.3-a.1+7"),
            ("[+02-1.0.0 +2-2.0.0-)", "^+2-1.0.0"),
            ("[1.0.03 1.5.0-)", "[1.0.3 1.5.0-)"),
            ("[1.0.0+0 2.0.0-)", "[1.0.0+0 2.0.0-)"),
            ("[1.0.0-a.1.5.a 1.0.0-a.1.5.b)", "[1.0.0-a.1.5.a 1.0.0-a.1.5.b)"),
            ("(1.0.03 1.5.0-)", "(1.0.03 1.5.0-)"),
            (">= 01.2", ">= 01.2"),
        ] {
            let constraint: PackageConstraint = text.parse().expect(text);
            assert_eq!(constraint.to_string(), shown);
            assert_eq!(shown.parse(), Ok(constraint));
        }
    }
}
