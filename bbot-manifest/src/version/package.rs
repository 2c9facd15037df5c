//! Package versions: `[+EPOCH-]UPSTREAM[-RELEASE][+REVISION][#ITERATION]`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::serde_text::serde_as_text;

/// A version of a package.
///
/// The order is by epoch, canonical upstream, canonical release, revision and iteration.
///
/// ```
/// use bbot_manifest::PackageVersion;
///
/// let [a, b, c]: [PackageVersion; 3] = ["1.2-rc.1".parse()?, "1.2".parse()?, "1.10".parse()?];
/// assert!(a < b && b < c);
/// assert_eq!(b, "1.02.0".parse()?);
/// # Ok::<(), bbot_manifest::version::PackageVersionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackageVersion {
    epoch: u16,
    upstream: String,
    release: Option<String>,
    revision: Option<u16>,
    iteration: u32,
    canonical_upstream: String,
    canonical_release: String,
}

/// How a package version is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackageVersionForms {
    /// Whether revision 0 is dropped.
    pub fold_zero_revision: bool,
    /// Whether an iteration is accepted.
    pub iteration: bool,
}

impl Default for PackageVersionForms {
    fn default() -> Self {
        Self { fold_zero_revision: true, iteration: false }
    }
}

/// Why a text is not a package version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageVersionError {
    /// A separator is in the wrong place.
    #[error("unexpected '{0}' character position")]
    Unexpected(char),
    /// The text ends too early.
    #[error("unexpected end")]
    UnexpectedEnd,
    /// A component has a character that is neither an ASCII letter nor a digit.
    #[error("alpha-numeric characters expected in a component")]
    Component,
    /// A number has more than 16 digits.
    #[error("16 digits maximum allowed in a component")]
    TooManyDigits,
    /// The epoch is not 0 to 65535.
    #[error("epoch should be 2-byte unsigned integer")]
    Epoch,
    /// The revision is not 0 to 65535.
    #[error("revision should be 2-byte unsigned integer")]
    Revision,
    /// The iteration is not 0 to 2^32 - 1.
    #[error("iteration should be 4-byte unsigned integer")]
    Iteration,
    /// All parts are zero or empty.
    #[error("empty version")]
    Empty,
}

type E = PackageVersionError;

/// The canonical release of a version that has none. It sorts after all others.
const NO_RELEASE: &str = "~";

impl PackageVersion {
    /// Parses a version.
    ///
    /// # Errors
    ///
    /// The text is not a version of these forms.
    pub fn parse(text: &str, forms: PackageVersionForms) -> Result<Self, PackageVersionError> {
        let (text, iteration) = match text.split_once('#') {
            Some((text, iteration)) if forms.iteration => {
                (text, u32::try_from(decimal(iteration).ok_or(E::Iteration)?))
            }
            _ => (text, Ok(0)),
        };
        let mut scan = Scan::new(text);
        scan.run()?;
        scan.finish(forms.fold_zero_revision, iteration.map_err(|_| E::Iteration)?)
    }

    /// Returns the epoch.
    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Returns the upstream part as it was written.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Returns the release part as it was written; an empty one is the earliest release.
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// Returns the revision.
    pub fn revision(&self) -> Option<u16> {
        self.revision
    }

    /// Returns the iteration; 0 if there is none.
    pub fn iteration(&self) -> u32 {
        self.iteration
    }

    /// Returns the upstream part in the form that is compared.
    pub fn canonical_upstream(&self) -> &str {
        &self.canonical_upstream
    }

    /// Returns the release part in the form that is compared.
    pub fn canonical_release(&self) -> &str {
        &self.canonical_release
    }

    /// Whether this is the earliest release, `1.2.3-`.
    pub fn is_earliest(&self) -> bool {
        self.release.as_ref().is_some_and(String::is_empty)
    }

    /// Returns the version without revision and iteration.
    #[must_use]
    pub fn without_revision(&self) -> Self {
        Self { revision: None, iteration: 0, ..self.clone() }
    }

    /// Returns the version without its iteration.
    #[must_use]
    pub fn without_iteration(&self) -> Self {
        Self { iteration: 0, ..self.clone() }
    }

    /// Compares without revision and iteration.
    pub fn cmp_ignore_revision(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| self.canonical_upstream.cmp(&other.canonical_upstream))
            .then_with(|| self.canonical_release.cmp(&other.canonical_release))
    }

    /// Compares without iteration.
    pub fn cmp_ignore_iteration(&self, other: &Self) -> Ordering {
        self.cmp_ignore_revision(other).then(self.revision.cmp(&other.revision))
    }

    /// Returns the epoch that is not written.
    fn default_epoch(&self) -> u16 {
        u16::from(!self.canonical_upstream.is_empty() || self.release.is_some())
    }
}

/// The part of a version that is being scanned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Epoch,
    Upstream,
    Release,
    Revision,
}

/// A version, as far as it has been scanned.
struct Scan<'a> {
    text: &'a str,
    mode: Mode,
    epoch: Option<&'a str>,
    upstream: &'a str,
    release: Option<&'a str>,
    revision: Option<&'a str>,
    canonical_upstream: Canonical,
    canonical_release: Canonical,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            mode: if text.starts_with('+') { Mode::Epoch } else { Mode::Upstream },
            epoch: None,
            upstream: "",
            release: None,
            revision: None,
            canonical_upstream: Canonical::default(),
            canonical_release: Canonical::default(),
        }
    }

    fn run(&mut self) -> Result<(), PackageVersionError> {
        let text = self.text;
        let begin = usize::from(self.mode == Mode::Epoch);
        // The start of the part and of its current component.
        let (mut part, mut component) = (begin, begin);
        for (at, c) in text.char_indices().skip(begin) {
            if !matches!(c, '+' | '-' | '.') {
                if !c.is_ascii_alphanumeric() {
                    return Err(E::Component);
                }
                continue;
            }
            let allowed = match self.mode {
                Mode::Epoch => c == '-',
                Mode::Upstream => true,
                Mode::Release => c != '-',
                Mode::Revision => false,
            };
            if !allowed || at == component {
                return Err(E::Unexpected(c));
            }
            self.component(&text[part..at], &text[component..at])?;
            component = at + 1;
            if c != '.' {
                part = component;
                self.mode = match (c, self.mode) {
                    ('+', _) => Mode::Revision,
                    (_, Mode::Epoch) => Mode::Upstream,
                    _ => Mode::Release,
                };
            }
        }
        self.last(&text[part..], &text[component..])
    }

    /// Adds a component; `part` is the text of its part up to the end of the component.
    fn component(&mut self, part: &'a str, component: &str) -> Result<(), PackageVersionError> {
        match self.mode {
            Mode::Epoch => self.epoch = Some(part),
            Mode::Upstream => {
                self.upstream = part;
                self.canonical_upstream.add(component)?;
            }
            Mode::Release => {
                self.release = Some(part);
                self.canonical_release.add(component)?;
            }
            Mode::Revision => self.revision = Some(part),
        }
        Ok(())
    }

    /// Adds the last component of the text.
    fn last(&mut self, part: &'a str, component: &str) -> Result<(), PackageVersionError> {
        if self.mode == Mode::Epoch || (component.is_empty() && self.mode != Mode::Release) {
            return Err(E::UnexpectedEnd);
        }
        if component.is_empty() {
            // A dot at the end of a release is dropped, as by the C++ implementation.
            self.release.get_or_insert("");
            return Ok(());
        }
        self.component(part, component)
    }

    fn finish(self, fold: bool, iteration: u32) -> Result<PackageVersion, PackageVersionError> {
        let small = |text: &str| decimal(text).and_then(|number| u16::try_from(number).ok());
        let epoch = self.epoch.map(|text| small(text).ok_or(E::Epoch)).transpose()?;
        let revision = self.revision.map(|text| small(text).ok_or(E::Revision)).transpose()?;
        let mut version = PackageVersion {
            epoch: 0,
            upstream: self.upstream.to_owned(),
            release: self.release.map(str::to_owned),
            revision: revision.filter(|&revision| revision != 0 || !fold),
            iteration,
            canonical_upstream: self.canonical_upstream.finish(),
            canonical_release: match self.release {
                Some(_) => self.canonical_release.finish(),
                None => NO_RELEASE.to_owned(),
            },
        };
        version.epoch = epoch.unwrap_or_else(|| version.default_epoch());
        if version.epoch == 0
            && version.canonical_upstream.is_empty()
            && version.canonical_release.is_empty()
        {
            return Err(E::Empty);
        }
        Ok(version)
    }
}

/// Parses a decimal number, which may have leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The form of a part that is compared.
#[derive(Default)]
struct Canonical {
    text: String,
    /// The length without the zero components at the end.
    significant: usize,
}

impl Canonical {
    fn add(&mut self, component: &str) -> Result<(), PackageVersionError> {
        const DIGITS: usize = 16;
        if !self.text.is_empty() {
            self.text.push('.');
        }
        if component.bytes().all(|b| b.is_ascii_digit()) {
            if component.len() > DIGITS {
                return Err(E::TooManyDigits);
            }
            for _ in component.len()..DIGITS {
                self.text.push('0');
            }
            self.text.push_str(component);
            if component.bytes().any(|b| b != b'0') {
                self.significant = self.text.len();
            }
        } else {
            self.text.push_str(&component.to_ascii_lowercase());
            self.significant = self.text.len();
        }
        Ok(())
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.significant);
        self.text
    }
}

impl FromStr for PackageVersion {
    type Err = PackageVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, PackageVersionForms::default())
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch != self.default_epoch() {
            write!(f, "+{}-", self.epoch)?;
        }
        f.write_str(&self.upstream)?;
        if let Some(release) = &self.release {
            write!(f, "-{release}")?;
        }
        if let Some(revision) = self.revision {
            write!(f, "+{revision}")?;
        }
        if self.iteration != 0 {
            write!(f, "#{}", self.iteration)?;
        }
        Ok(())
    }
}

impl Ord for PackageVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_ignore_iteration(other).then(self.iteration.cmp(&other.iteration))
    }
}

impl PartialOrd for PackageVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PackageVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PackageVersion {}

impl Hash for PackageVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.epoch.hash(state);
        self.canonical_upstream.hash(state);
        self.canonical_release.hash(state);
        (self.revision, self.iteration).hash(state);
    }
}

serde_as_text!(PackageVersion);
