//! Dependencies on packages that test another one.

use std::fmt;
use std::str::FromStr;

use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take, take_while1};
use nom::character::complete::{char, one_of, space0};
use nom::combinator::{opt, recognize, rest};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use crate::serde_text::serde_as_text;
use crate::value::package_name::{PackageName, PackageNameError};
use crate::version::{PackageConstraint, PackageConstraintError};

/// A package that tests another one:
/// `[*] NAME [VERSION-CONSTRAINT] [? (ENABLE-CONDITION)] [REFLECT]`.
///
/// ```
/// use bbot_manifest::protocol::TestDependency;
///
/// let text = "* libhello-tests >= 1.2.0 ? ($cxx.target.class == 'linux')";
/// let tests: TestDependency = text.parse()?;
/// assert!(tests.build_time);
/// assert_eq!(tests.name.as_str(), "libhello-tests");
/// assert_eq!(tests.enable.as_deref(), Some("$cxx.target.class == 'linux'"));
/// # Ok::<(), bbot_manifest::protocol::TestDependencyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TestDependency {
    /// It is built for the build machine, rather than for the target.
    pub build_time: bool,
    /// The testing package.
    pub name: PackageName,
    /// The versions that are accepted.
    pub constraint: Option<PackageConstraint>,
    /// The condition under which it is used, without its parentheses.
    pub enable: Option<String>,
    /// Configuration variables that tell the testing package about the tested one.
    pub reflect: Option<String>,
}

/// Why a text is not a test dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestDependencyError {
    /// There is no name.
    #[error("no package name specified")]
    NoName,
    /// The name is invalid.
    #[error("invalid package name")]
    Name(#[source] PackageNameError),
    /// The version constraint is invalid.
    #[error("invalid version constraint")]
    Constraint(#[source] PackageConstraintError),
    /// A `?` is not followed by a condition in parentheses.
    #[error("condition in parentheses expected after '?'")]
    Enable,
}

/// The parts of a test dependency, as text.
struct Parts<'a> {
    build_time: bool,
    name: &'a str,
    constraint: Option<&'a str>,
    enable: Option<&'a str>,
    reflect: &'a str,
}

/// Splits a test dependency into its parts.
fn parts(input: &str) -> IResult<&str, Parts<'_>> {
    let name = take_while1(|c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c));
    let star = opt(delimited(space0, char('*'), space0));
    let enable = opt(preceded((char('?'), space0), delimited(char('('), balanced, char(')'))));
    let mut whole =
        (star, preceded(space0, name), delimited(space0, opt(constraint), space0), enable);
    let (input, (star, name, constraint, enable)) = whole.parse(input)?;
    let (input, reflect) = preceded(space0, rest).parse(input)?;
    Ok((input, Parts { build_time: star.is_some(), name, constraint, enable, reflect }))
}

/// Parses a version constraint: a range, or an operator and a version.
fn constraint(input: &str) -> IResult<&str, &str> {
    let range = recognize((one_of("(["), is_not(")]"), one_of(")]")));
    let equality = alt((tag("=="), tag(">="), tag("<=")));
    let operator = alt((equality, recognize(one_of("<>~^"))));
    alt((range, recognize((operator, space0, is_not(" \t"))))).parse(input)
}

/// Parses text up to a closing parenthesis that has no opening one in it.
fn balanced(input: &str) -> IResult<&str, &str> {
    let mut depth = 0_usize;
    let closing = |&(_, c): &(usize, char)| {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return true,
            ')' => depth -= 1,
            _ => {}
        }
        false
    };
    let length = input.char_indices().find(closing).map_or(input.len(), |(at, _)| at);
    take(input[..length].chars().count()).parse(input)
}

impl TestDependency {
    /// Returns a dependency on any version of a package.
    pub fn new(name: PackageName) -> Self {
        Self { build_time: false, name, constraint: None, enable: None, reflect: None }
    }
}

impl FromStr for TestDependency {
    type Err = TestDependencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (_, parts) = parts(text).map_err(|_| TestDependencyError::NoName)?;
        if parts.enable.is_none() && parts.reflect.starts_with('?') {
            return Err(TestDependencyError::Enable);
        }
        let constraint = parts.constraint.map(str::parse).transpose();
        let reflect = parts.reflect.trim_end();
        Ok(Self {
            build_time: parts.build_time,
            name: parts.name.parse().map_err(TestDependencyError::Name)?,
            constraint: constraint.map_err(TestDependencyError::Constraint)?,
            enable: parts.enable.map(str::to_owned),
            reflect: (!reflect.is_empty()).then(|| reflect.to_owned()),
        })
    }
}

impl fmt::Display for TestDependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.build_time { "* " } else { "" }, self.name)?;
        if let Some(constraint) = &self.constraint {
            write!(f, " {constraint}")?;
        }
        if let Some(enable) = &self.enable {
            write!(f, " ? ({enable})")?;
        }
        if let Some(reflect) = &self.reflect {
            write!(f, " {reflect}")?;
        }
        Ok(())
    }
}

serde_as_text!(TestDependency);
