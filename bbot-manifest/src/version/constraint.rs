//! What constraints on standard and on package versions have in common: how they are written.
//!
//! The two kinds differ in which versions they take and in the order of their checks, so that the
//! parser here accepts every text that has the right shape and leaves the judgment to them.

use std::fmt::{self, Display};

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::character::complete::{char, space0};
use nom::combinator::{opt, rest, value};
use nom::sequence::{preceded, separated_pair};
use nom::{IResult, Parser};

/// The version of a constraint that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeEnd {
    /// The only version of a comparison.
    Only,
    /// The lower end of a range.
    Min,
    /// The upper end of a range.
    Max,
}

impl Display for RangeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Only => "version",
            Self::Min => "min version",
            Self::Max => "max version",
        })
    }
}

/// A constraint as it is written.
pub(crate) enum Syntax<'a> {
    Range(Range<'a>),
    Shortcut { operator: Shortcut, version: &'a str },
    Comparison { operator: Comparison, version: &'a str },
}

/// A range, `[MIN MAX)`, as far as it is there.
pub(crate) struct Range<'a> {
    pub(crate) min_open: bool,
    /// The text up to a space; may be empty.
    pub(crate) min: &'a str,
    /// Whether a space follows `min`.
    pub(crate) min_ends: bool,
    /// The text up to a space or closing bracket, if any text follows `min`.
    pub(crate) max: Option<&'a str>,
    /// Whether a space or closing bracket follows `max`.
    pub(crate) max_ends: bool,
    /// Whether the closing bracket leaves the end open; `None` if there is no bracket.
    pub(crate) max_open: Option<bool>,
    /// The text after the closing bracket.
    pub(crate) junk: &'a str,
}

/// The operators that stand for a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// `~`: the same minor version.
    Tilde,
    /// `^`: the same major version, or minor version if that is 0.
    Caret,
}

/// The operators that compare with one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    GreaterOrEqual,
    LessOrEqual,
    Greater,
    Less,
}

/// Splits a constraint into its parts; `None` if it is neither a range nor starts with an operator.
pub(crate) fn parse(text: &str) -> Option<Syntax<'_>> {
    let mut syntax = alt((range.map(Syntax::Range), shortcut, comparison));
    syntax.parse(text).ok().map(|(_, syntax)| syntax)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_closing(c: char) -> bool {
    matches!(c, ')' | ']')
}

fn range(input: &str) -> IResult<&str, Range<'_>> {
    let open = alt((value(true, char('(')), value(false, char('['))));
    let close = alt((value(true, char(')')), value(false, char(']'))));
    let (after_min, (min_open, min)) =
        separated_pair(open, space0, take_till(is_space)).parse(input)?;
    let (max_start, _) = space0(after_min)?;
    let (after_max, max) = take_till(|c| is_space(c) || is_closing(c)).parse(max_start)?;
    // The C++ implementation skips any text between the upper end and the bracket.
    let (junk, max_open) = opt(preceded(take_till(is_closing), close)).parse(after_max)?;
    let range = Range {
        min_open,
        min,
        min_ends: !after_min.is_empty(),
        max: (!max_start.is_empty()).then_some(max),
        max_ends: !after_max.is_empty(),
        max_open,
        junk,
    };
    Ok(("", range))
}

fn shortcut(input: &str) -> IResult<&str, Syntax<'_>> {
    let tilde = value(Shortcut::Tilde, char('~'));
    let caret = value(Shortcut::Caret, char('^'));
    separated_pair(alt((tilde, caret)), space0, rest)
        .map(|(operator, version)| Syntax::Shortcut { operator, version })
        .parse(input)
}

fn comparison(input: &str) -> IResult<&str, Syntax<'_>> {
    // The longer operators first.
    let operator = alt((
        value(Comparison::Equal, tag("==")),
        value(Comparison::GreaterOrEqual, tag(">=")),
        value(Comparison::LessOrEqual, tag("<=")),
        value(Comparison::Greater, tag(">")),
        value(Comparison::Less, tag("<")),
    ));
    separated_pair(operator, space0, rest)
        .map(|(operator, version)| Syntax::Comparison { operator, version })
        .parse(input)
}

/// The versions between two ends. An end that is absent counts as open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Interval<T> {
    pub(crate) min: Option<T>,
    pub(crate) max: Option<T>,
    pub(crate) min_open: bool,
    pub(crate) max_open: bool,
}

impl<T: Clone> Interval<T> {
    /// Returns the interval that compares with `version`.
    pub(crate) fn compared(operator: Comparison, version: T) -> Self {
        let (min, max) = match operator {
            Comparison::Equal => (Some(version.clone()), Some(version)),
            Comparison::Greater | Comparison::GreaterOrEqual => (Some(version), None),
            Comparison::Less | Comparison::LessOrEqual => (None, Some(version)),
        };
        let min_open = min.is_none() || operator == Comparison::Greater;
        let max_open = max.is_none() || operator == Comparison::Less;
        Self { min, max, min_open, max_open }
    }
}

impl<T: Display + PartialEq> Interval<T> {
    /// Writes the interval as a comparison, as what `shortcut` returns for its ends, or as a range.
    pub(crate) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        shortcut: impl FnOnce(&T, &T) -> Option<String>,
    ) -> fmt::Result {
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
        if let Some(text) = shortcut(min, max) {
            return f.write_str(&text);
        }
        let open = if self.min_open { '(' } else { '[' };
        let close = if self.max_open { ')' } else { ']' };
        write!(f, "{open}{min} {max}{close}")
    }
}
