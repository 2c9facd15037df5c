//! Standard versions: `1.2.3`, `1.2.3-a.1`, `1.2.3-b.2.20261122.abc+1`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::serde_text::serde_as_text;
use crate::version::number::Cursor;

/// A standard version: `[+EPOCH-]MAJOR.MINOR.PATCH[-(a|b).N[.SNAPSHOT[.ID]]][+REVISION]`.
///
/// The order is by epoch, number, snapshot number and revision; the snapshot id is not compared.
///
/// ```
/// use bbot_manifest::StandardVersion;
///
/// let release: StandardVersion = "1.2.3".parse()?;
/// let alpha: StandardVersion = "1.2.3-a.1".parse()?;
/// let snapshot: StandardVersion = "1.2.3-a.1.20261122.abc".parse()?;
/// assert!(alpha < snapshot && snapshot < release);
/// # Ok::<(), bbot_manifest::version::StandardVersionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StandardVersion {
    epoch: u16,
    /// AAAAABBBBBCCCCCDDDE: the three parts, the pre-release, and 1 for a snapshot.
    number: u64,
    snapshot: u64,
    snapshot_id: String,
    revision: u16,
}

/// The special forms of a standard version that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StandardVersionForms {
    /// `1.2.3-`: the earliest pre-release.
    pub earliest: bool,
    /// `0`: a stub, which stands for a package that is not available.
    pub stub: bool,
}

impl StandardVersionForms {
    /// Ordinary versions only.
    pub const ORDINARY: Self = Self { earliest: false, stub: false };
    /// Ordinary versions and earliest ones.
    pub const EARLIEST: Self = Self { earliest: true, stub: false };
    /// All forms.
    pub const ALL: Self = Self { earliest: true, stub: true };
}

/// Why a text is not a standard version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StandardVersionError {
    /// The epoch is not 1 to 65535.
    #[error("invalid epoch")]
    Epoch,
    /// No `-` follows the epoch.
    #[error("'-' expected after epoch")]
    EpochEnd,
    /// The major version is not 0 to 99999.
    #[error("invalid major version")]
    Major,
    /// The minor version is not 0 to 99999.
    #[error("invalid minor version")]
    Minor,
    /// The patch version is not 0 to 99999.
    #[error("invalid patch version")]
    Patch,
    /// No `.` follows the major version.
    #[error("'.' expected after major version")]
    MajorEnd,
    /// No `.` follows the minor version.
    #[error("'.' expected after minor version")]
    MinorEnd,
    /// All three parts are 0.
    #[error("0.0.0 version")]
    Zero,
    /// The pre-release is neither alpha nor beta.
    #[error("'a' or 'b' expected in pre-release")]
    PreReleaseLetter,
    /// No `.` follows the pre-release letter.
    #[error("'.' expected after pre-release letter")]
    PreReleaseLetterEnd,
    /// The pre-release number is not 0 to 499.
    #[error("invalid pre-release")]
    PreRelease,
    /// Pre-release 0 without a snapshot.
    #[error("invalid final pre-release")]
    FinalPreRelease,
    /// The snapshot number is neither `z` nor 1 to 2^64 - 2.
    #[error("invalid snapshot number")]
    SnapshotNumber,
    /// The snapshot id is not 1 to 16 ASCII letters or digits.
    #[error("invalid snapshot id")]
    SnapshotId,
    /// The revision is not 1 to 65535.
    #[error("invalid revision")]
    Revision,
    /// Text follows the version.
    #[error("junk after version")]
    Junk,
    /// The version that `$` stands for is a stub.
    #[error("dependent version is stub")]
    DependentStub,
    /// The version that `$` stands for is the latest snapshot.
    #[error("dependent version is latest snapshot")]
    DependentLatestSnapshot,
}

/// The snapshot number that stands for the latest one, written `z`.
const LATEST: u64 = u64::MAX;

/// The number of a stub.
const STUB: u64 = u64::MAX;

/// The largest part of a version.
pub(crate) const PART_MAX: u64 = 99_999;

/// The difference between DDD and the number of a beta.
const BETA: u64 = 500;

impl StandardVersion {
    /// Parses a version of one of the forms.
    ///
    /// # Errors
    ///
    /// The text is not a version of these forms.
    pub fn parse(text: &str, forms: StandardVersionForms) -> Result<Self, StandardVersionError> {
        type E = StandardVersionError;
        let mut cursor = Cursor { rest: text };
        let mut epoch = None;
        if cursor.take('+') {
            epoch = Some(small(cursor.number(1..=65_535)).ok_or(E::Epoch)?);
            if !cursor.take('-') {
                return Err(E::EpochEnd);
            }
        }
        let major = cursor.number(0..=PART_MAX).ok_or(E::Major)?;
        // A version with an epoch is not a stub.
        let stub = forms.stub
            && epoch.is_none()
            && major == 0
            && matches!(cursor.rest.as_bytes(), [] | [b'+', ..]);
        let mut version = if stub {
            Self { epoch: 0, number: STUB, snapshot: 0, snapshot_id: String::new(), revision: 0 }
        } else {
            let mut version = Self::parts(major, &mut cursor)?;
            version.epoch = epoch.unwrap_or(1);
            if cursor.take('-') {
                if forms.earliest && cursor.rest.is_empty() {
                    version.set_pre_release(0, true);
                    return Ok(version);
                }
                version.pre_release_part(&mut cursor)?;
            }
            version
        };
        if cursor.take('+') {
            version.revision = small(cursor.number(1..=65_535)).ok_or(E::Revision)?;
        }
        if cursor.rest.is_empty() { Ok(version) } else { Err(E::Junk) }
    }

    /// Parses `.MINOR.PATCH`.
    fn parts(major: u64, cursor: &mut Cursor<'_>) -> Result<Self, StandardVersionError> {
        type E = StandardVersionError;
        if !cursor.take('.') {
            return Err(E::MajorEnd);
        }
        let minor = cursor.number(0..=PART_MAX).ok_or(E::Minor)?;
        if !cursor.take('.') {
            return Err(E::MinorEnd);
        }
        let patch = cursor.number(0..=PART_MAX).ok_or(E::Patch)?;
        if (major, minor, patch) == (0, 0, 0) {
            return Err(E::Zero);
        }
        Ok(Self::release(1, major, minor, patch))
    }

    /// Parses `(a|b).N[.SNAPSHOT[.ID]]`.
    fn pre_release_part(&mut self, cursor: &mut Cursor<'_>) -> Result<(), StandardVersionError> {
        type E = StandardVersionError;
        let beta = cursor.take('b');
        if !beta && !cursor.take('a') {
            return Err(E::PreReleaseLetter);
        }
        if !cursor.take('.') {
            return Err(E::PreReleaseLetterEnd);
        }
        let number = cursor.number(0..=BETA - 1).ok_or(E::PreRelease)?;
        if cursor.take('.') {
            self.snapshot_part(cursor)?;
        } else if number == 0 {
            return Err(E::FinalPreRelease);
        }
        self.set_pre_release(number + if beta { BETA } else { 0 }, self.snapshot != 0);
        Ok(())
    }

    /// Parses `SNAPSHOT[.ID]`.
    fn snapshot_part(&mut self, cursor: &mut Cursor<'_>) -> Result<(), StandardVersionError> {
        type E = StandardVersionError;
        if cursor.take('z') {
            self.snapshot = LATEST;
            return Ok(());
        }
        self.snapshot = cursor.number(1..=LATEST - 1).ok_or(E::SnapshotNumber)?;
        if cursor.take('.') {
            let length = cursor.rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            if !(1..=16).contains(&length) {
                return Err(E::SnapshotId);
            }
            let (id, rest) = cursor.rest.split_at(length);
            id.clone_into(&mut self.snapshot_id);
            cursor.rest = rest;
        }
        Ok(())
    }

    pub(crate) fn release(epoch: u16, major: u64, minor: u64, patch: u64) -> Self {
        let number = major * 100_000_000_000_000 + minor * 1_000_000_000 + patch * 10_000;
        Self { epoch, number, snapshot: 0, snapshot_id: String::new(), revision: 0 }
    }

    pub(crate) fn earliest(epoch: u16, major: u64, minor: u64, patch: u64) -> Self {
        let mut version = Self::release(epoch, major, minor, patch);
        version.set_pre_release(0, true);
        version
    }

    /// Returns the same version with another pre-release part.
    pub(crate) fn with_pre_release(mut self, number: u64, snapshot: u64) -> Self {
        self.snapshot = snapshot;
        self.set_pre_release(number, snapshot != 0);
        self
    }

    /// Returns the same version without a revision.
    pub(crate) fn without_revision(&self) -> Self {
        Self { revision: 0, ..self.clone() }
    }

    fn set_pre_release(&mut self, number: u64, snapshot_or_earliest: bool) {
        self.number += number * 10 + u64::from(snapshot_or_earliest);
        self.number -= 10_000;
    }

    /// Returns the epoch: 1 unless one is given, 0 of a stub.
    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Returns the number AAAAABBBBBCCCCCDDDE that versions of an epoch are compared by.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the snapshot number: 0 unless this is a snapshot, 2^64 - 1 of the latest one.
    pub fn snapshot_number(&self) -> u64 {
        self.snapshot
    }

    /// Returns the snapshot id; may be empty.
    pub fn snapshot_id(&self) -> &str {
        &self.snapshot_id
    }

    /// Returns the revision; 0 if there is none.
    pub fn revision(&self) -> u16 {
        self.revision
    }

    /// Returns the major version; `None` of a stub.
    pub fn major(&self) -> Option<u64> {
        self.part(100_000_000_000_000)
    }

    /// Returns the minor version; `None` of a stub.
    pub fn minor(&self) -> Option<u64> {
        self.part(1_000_000_000)
    }

    /// Returns the patch version; `None` of a stub.
    pub fn patch(&self) -> Option<u64> {
        self.part(10_000)
    }

    fn part(&self, unit: u64) -> Option<u64> {
        let carry = if self.number.is_multiple_of(10_000) { 0 } else { 10_000 };
        (!self.is_stub()).then(|| (self.number + carry) / unit % 100_000)
    }

    /// Returns DDD: the number of an alpha, or that of a beta plus 500; `None` of a release.
    pub fn pre_release(&self) -> Option<u64> {
        (!self.is_stub() && !self.is_release()).then_some(self.number / 10 % 1_000)
    }

    /// Returns the number of an alpha version.
    pub fn alpha(&self) -> Option<u64> {
        self.pre_release().filter(|&number| number < BETA)
    }

    /// Returns the number of a beta version.
    pub fn beta(&self) -> Option<u64> {
        self.pre_release()?.checked_sub(BETA)
    }

    /// Whether this is a stub, `0`.
    pub fn is_stub(&self) -> bool {
        self.number == STUB
    }

    /// Whether this is an earliest pre-release, `1.2.3-`.
    pub fn is_earliest(&self) -> bool {
        !self.is_stub() && self.number % 10_000 == 1 && self.snapshot == 0
    }

    /// Whether this is not a pre-release.
    pub fn is_release(&self) -> bool {
        !self.is_stub() && self.number.is_multiple_of(10_000)
    }

    /// Whether this is a snapshot.
    pub fn is_snapshot(&self) -> bool {
        self.snapshot != 0
    }

    /// Whether this is the latest snapshot, `z`.
    pub fn is_latest_snapshot(&self) -> bool {
        self.snapshot == LATEST
    }

    /// Whether this is a release or a final pre-release.
    pub fn is_final(&self) -> bool {
        !self.is_stub() && !self.is_snapshot()
    }

    /// Compares without the revision.
    pub fn cmp_ignore_revision(&self, other: &Self) -> Ordering {
        let key = |v: &Self| (v.epoch, v.number, v.snapshot);
        key(self).cmp(&key(other))
    }

    /// Returns the version without epoch and revision: `1.2.3-a.1.20261122.abc`.
    pub fn project(&self) -> String {
        let mut text = self.version_only();
        text.push_str(&self.snapshot_text());
        text
    }

    /// Returns the version without epoch.
    pub fn project_with_revision(&self) -> String {
        let mut text = self.project();
        if self.revision != 0 {
            text.push('+');
            text.push_str(&self.revision.to_string());
        }
        text
    }

    /// Returns the version without epoch and revision, with the snapshot id, if there is one, for
    /// the snapshot.
    pub fn project_id(&self) -> String {
        if self.snapshot_id.is_empty() {
            return self.project();
        }
        self.version_only() + &self.snapshot_id
    }

    /// Returns the version up to the snapshot, including the dot before that: `1.2.3-a.1.`.
    pub fn version_only(&self) -> String {
        let (Some(major), Some(minor), Some(patch)) = (self.major(), self.minor(), self.patch())
        else {
            return "0".to_owned();
        };
        let mut text = format!("{major}.{minor}.{patch}");
        if !self.is_release() {
            text.push('-');
            text.push_str(&self.pre_release_text());
            if self.is_snapshot() {
                text.push('.');
            }
        }
        text
    }

    /// Returns the pre-release part: `a.1`; empty of a release and of an earliest version.
    pub fn pre_release_text(&self) -> String {
        if self.is_earliest() {
            return String::new();
        }
        match (self.alpha(), self.beta()) {
            (Some(number), _) => format!("a.{number}"),
            (_, Some(number)) => format!("b.{number}"),
            (None, None) => String::new(),
        }
    }

    /// Returns the snapshot part: `20261122.abc`; empty unless this is a snapshot.
    pub fn snapshot_text(&self) -> String {
        match self.snapshot {
            0 => String::new(),
            LATEST => "z".to_owned(),
            number if self.snapshot_id.is_empty() => number.to_string(),
            number => format!("{number}.{}", self.snapshot_id),
        }
    }
}

/// Returns a number of 16 bits.
fn small(number: Option<u64>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok())
}

impl FromStr for StandardVersion {
    type Err = StandardVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, StandardVersionForms::ORDINARY)
    }
}

impl fmt::Display for StandardVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch != 1 && !self.is_stub() {
            write!(f, "+{}-", self.epoch)?;
        }
        f.write_str(&self.project_with_revision())
    }
}

impl Ord for StandardVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_ignore_revision(other).then(self.revision.cmp(&other.revision))
    }
}

impl PartialOrd for StandardVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for StandardVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for StandardVersion {}

impl Hash for StandardVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.epoch, self.number, self.snapshot, self.revision).hash(state);
    }
}

serde_as_text!(StandardVersion);
