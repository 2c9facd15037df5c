//! Constraints on package versions.

use std::fmt;
use std::str::FromStr;

use crate::text_value::serde_as_text;
use crate::version::package::{PackageVersion, PackageVersionError, PackageVersionForms};
use crate::version::standard::{StandardVersion, StandardVersionForms};
use crate::version::standard_constraint::{RangeEnd, StandardConstraint, StandardConstraintError};

/// A range of package versions: `>= 1.2`, `^1.2.3`, `[1.2 2.0)`, `== $`.
///
/// `$` stands for the version of the dependent package until [`complete`](Self::complete) puts
/// that in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageConstraint {
    min: Option<Endpoint>,
    max: Option<Endpoint>,
    min_open: bool,
    max_open: bool,
}

/// An end of a range of package versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `$`: the version of the dependent package.
    Dependent,
    /// A version.
    Version(PackageVersion),
}

/// Why a text is not a constraint on package versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackageConstraintError {
    /// It is neither a range nor a comparison.
    Comparison,
    /// A version is not there.
    NoVersion(RangeEnd),
    /// The range has no closing bracket.
    Range,
    /// Something follows the range.
    Junk,
    /// A version is wrong.
    Version {
        /// Which one.
        end: RangeEnd,
        /// What is wrong with it.
        source: PackageVersionError,
    },
    /// The range is empty: its lower end is above its upper one.
    Reversed,
    /// The range is empty: one version, which does not belong to it.
    NotClosed,
    /// The range is one version that cannot exist.
    OnlyEarliest,
    /// The comparison is with a version that cannot exist.
    EqualsEarliest,
    /// A shortcut operator is used wrongly.
    Shortcut(StandardConstraintError),
    /// A shortcut operator is used with a dependent whose version is not a standard one.
    DependentNotStandard,
    /// The dependent's version is an earliest one.
    DependentEarliest,
}

impl fmt::Display for PackageConstraintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Comparison => f.write_str("invalid version comparison"),
            Self::NoVersion(end) => write!(f, "no {end} specified"),
            Self::Range => f.write_str("invalid version range"),
            Self::Junk => f.write_str("unexpected text after version range"),
            Self::Version { end, source } => write!(f, "invalid {end}: {source}"),
            Self::Reversed => f.write_str("min version is greater than max version"),
            Self::NotClosed => f.write_str("equal version endpoints not closed"),
            Self::OnlyEarliest => f.write_str("equal version endpoints are earliest"),
            Self::EqualsEarliest => {
                f.write_str("invalid version: equal version endpoints are earliest")
            }
            Self::Shortcut(source) => source.fmt(f),
            Self::DependentNotStandard => f.write_str("dependent version is not standard"),
            Self::DependentEarliest => f.write_str("dependent version is earliest"),
        }
    }
}

impl std::error::Error for PackageConstraintError {}

type E = PackageConstraintError;

const SPACES: [char; 2] = [' ', '\t'];

impl PackageConstraint {
    fn parse_range(text: &str) -> Result<Self, PackageConstraintError> {
        let min_open = text.starts_with('(');
        let rest = text[1..].trim_start_matches(SPACES);
        if rest.is_empty() {
            return Err(E::NoVersion(RangeEnd::Min));
        }
        let (min, rest) = rest.split_at(rest.find(SPACES).ok_or(E::NoVersion(RangeEnd::Max))?);
        let min = endpoint(min, RangeEnd::Min)?;
        let rest = rest.trim_start_matches(SPACES);
        if rest.is_empty() {
            return Err(E::NoVersion(RangeEnd::Max));
        }
        let (max, rest) = rest.split_at(rest.find([' ', '\t', ')', ']']).ok_or(E::Range)?);
        let max = endpoint(max, RangeEnd::Max)?;
        // Other implementations skip whatever stands before the bracket; so do we.
        let bracket = rest.find([')', ']']).ok_or(E::Range)?;
        let (bracket, junk) = rest[bracket..].split_at(1);
        if !junk.is_empty() {
            return Err(E::Junk);
        }
        Self::range(min, min_open, max, bracket == ")")
    }

    fn range(
        min: Endpoint,
        min_open: bool,
        max: Endpoint,
        max_open: bool,
    ) -> Result<Self, PackageConstraintError> {
        if let (Endpoint::Version(min), Endpoint::Version(max)) = (&min, &max) {
            // A closed end without revision stands for all revisions.
            let reversed = if max_open || max.revision().is_some() {
                min > max
            } else {
                min.cmp_ignore_revision(max).is_gt()
            };
            if reversed {
                return Err(E::Reversed);
            }
        }
        // The dependent's version with one end open is how the shortcuts are kept.
        let shortcut = min == Endpoint::Dependent && min_open != max_open;
        if min == max && !shortcut {
            if min_open || max_open {
                return Err(E::NotClosed);
            }
            if matches!(&min, Endpoint::Version(version) if version.is_earliest()) {
                return Err(E::OnlyEarliest);
            }
        }
        Ok(Self { min: Some(min), max: Some(max), min_open, max_open })
    }

    fn parse_shortcut(text: &str) -> Result<Self, PackageConstraintError> {
        let operand = text[1..].trim_start_matches(SPACES);
        if operand == "$" {
            // How other implementations mark these two, and so what they look like to them.
            let max_open = text.starts_with('^');
            let (min, max) = (Some(Endpoint::Dependent), Some(Endpoint::Dependent));
            return Ok(Self { min, max, min_open: !max_open, max_open });
        }
        let constraint = StandardConstraint::parse(text, None).map_err(E::Shortcut)?;
        Self::from_standard(&constraint)
    }

    fn from_standard(constraint: &StandardConstraint) -> Result<Self, PackageConstraintError> {
        let convert = |version: Option<&StandardVersion>, end| {
            version.map(|version| endpoint(&version.to_string(), end)).transpose()
        };
        Ok(Self {
            min: convert(constraint.min(), RangeEnd::Min)?,
            max: convert(constraint.max(), RangeEnd::Max)?,
            min_open: constraint.is_min_open(),
            max_open: constraint.is_max_open(),
        })
    }

    fn parse_comparison(text: &str) -> Result<Self, PackageConstraintError> {
        let operator = ["==", ">=", "<=", ">", "<"].into_iter().find(|o| text.starts_with(o));
        let operator = operator.ok_or(E::Comparison)?;
        let operand = text[operator.len()..].trim_start_matches(SPACES);
        if operand.is_empty() {
            return Err(E::NoVersion(RangeEnd::Only));
        }
        let version = endpoint(operand, RangeEnd::Only)?;
        let (min, max) = match operator {
            "==" => {
                let range = Self::range(version.clone(), false, version, false);
                return range.map_err(|error| match error {
                    E::OnlyEarliest => E::EqualsEarliest,
                    error => error,
                });
            }
            ">" | ">=" => (Some(version), None),
            _ => (None, Some(version)),
        };
        // An end that is not there counts as open.
        let min_open = min.is_none() || operator == ">";
        let max_open = max.is_none() || operator == "<";
        Ok(Self { min, max, min_open, max_open })
    }

    /// Returns the lower end.
    pub fn min(&self) -> Option<&Endpoint> {
        self.min.as_ref()
    }

    /// Returns the upper end.
    pub fn max(&self) -> Option<&Endpoint> {
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

    /// Whether no end stands for the dependent's version.
    pub fn is_complete(&self) -> bool {
        let dependent = Some(Endpoint::Dependent);
        self.min != dependent && self.max != dependent
    }

    /// Puts in the dependent's version, less its revision, where `$` stands for it.
    ///
    /// # Errors
    ///
    /// The version cannot be used, or makes the range empty.
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
            return Self::from_standard(&constraint.map_err(E::Shortcut)?);
        }
        let put_in = |end: &Endpoint| match end {
            Endpoint::Dependent => Endpoint::Version(dependent.without_revision()),
            Endpoint::Version(_) => end.clone(),
        };
        match (self.min.as_ref().map(put_in), self.max.as_ref().map(put_in)) {
            (Some(min), Some(max)) => Self::range(min, self.min_open, max, self.max_open),
            (min, max) => Ok(Self { min, max, ..*self }),
        }
    }

    /// Returns the operator if the constraint is `~$` or `^$`.
    fn dependent_shortcut(&self) -> Option<&'static str> {
        let dependent = Some(Endpoint::Dependent);
        if self.min != dependent || self.max != dependent || self.min_open == self.max_open {
            return None;
        }
        Some(if self.max_open { "^$" } else { "~$" })
    }

    /// Whether `version` is in the range; never if the range is not complete.
    pub fn is_satisfied_by(&self, version: &PackageVersion) -> bool {
        let above = match &self.min {
            None => true,
            Some(Endpoint::Version(min)) => version > min || (version == min && !self.min_open),
            Some(Endpoint::Dependent) => false,
        };
        let below = match &self.max {
            None => true,
            Some(Endpoint::Version(max)) if self.max_open => version < max,
            // A closed end without revision stands for all revisions.
            Some(Endpoint::Version(max)) if max.revision().is_none() => {
                version.cmp_ignore_revision(max).is_le()
            }
            Some(Endpoint::Version(max)) => version.cmp_ignore_iteration(max).is_le(),
            Some(Endpoint::Dependent) => false,
        };
        above && below
    }

    /// Returns the range as one of standard versions, if it has the form that a shortcut makes.
    fn as_standard(&self) -> Option<StandardConstraint> {
        let (Some(Endpoint::Version(min)), Some(Endpoint::Version(max))) = (&self.min, &self.max)
        else {
            return None;
        };
        if self.min_open || !self.max_open {
            return None;
        }
        let standard = |version: &PackageVersion| {
            StandardVersion::parse(&version.to_string(), StandardVersionForms::EARLIEST).ok()
        };
        StandardConstraint::range(standard(min)?, false, standard(max)?, true).ok()
    }
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
        match text.as_bytes().first() {
            Some(b'(' | b'[') => Self::parse_range(text),
            Some(b'~' | b'^') => Self::parse_shortcut(text),
            _ => Self::parse_comparison(text),
        }
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
        if let Some(constraint) = self.as_standard() {
            return constraint.fmt(f);
        }
        let open = if self.min_open { '(' } else { '[' };
        let close = if self.max_open { ')' } else { ']' };
        write!(f, "{open}{min} {max}{close}")
    }
}

serde_as_text!(PackageConstraint);

#[cfg(test)]
mod tests {
    use super::*;

    /// A range that a shortcut could make is shown as one of standard versions, as other
    /// implementations do; the other forms keep versions as they are written.
    #[test]
    fn what_a_shortcut_could_make_is_shown_as_it_can_be_read() {
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
