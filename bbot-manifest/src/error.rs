//! What can go wrong with a manifest.

use std::fmt;
use std::io;

use crate::encoding::EncodingError;
use crate::limits::Limit;
use crate::position::Position;
use crate::value_error::ValueError;

/// Why a manifest could not be read or written.
///
/// Its text is `NAME:LINE:COLUMN: error: MESSAGE`, without the parts that are not known.
#[derive(Debug)]
#[expect(clippy::error_impl_error, reason = "the crate's one error, read as bbot_manifest::Error")]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    position: Option<Position>,
    kind: ErrorKind,
}

/// The kinds of [`Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Malformed UTF-8, or a code point that a manifest must not hold.
    Encoding {
        /// Where it stands.
        part: Part,
        /// What is wrong.
        source: EncodingError,
    },
    /// Something else than a colon follows a name.
    ColonExpected,
    /// The first pair has a name.
    VersionPairExpected,
    /// The first pair has no value.
    VersionValueExpected,
    /// A format version other than `1`.
    UnsupportedVersion(String),
    /// There is no manifest where one was wanted.
    ManifestExpected,
    /// A second manifest where one only was wanted.
    SingleManifestExpected,
    /// A limit set by the caller is passed.
    Limit {
        /// Which one.
        limit: Limit,
        /// Its value.
        maximum: u64,
    },
    /// A name to write starts with `#`.
    NameStartsWithHash,
    /// A name to write contains a space, a tab or a newline.
    NameHasWhitespace,
    /// A name to write contains a colon.
    NameHasColon,
    /// Something is written after the end of the stream.
    AfterEnd,
    /// A value that must be there is not.
    Missing {
        /// The value's name.
        value: String,
    },
    /// A value is there twice.
    Redefinition {
        /// The value's name.
        value: String,
    },
    /// A value is empty and must not be.
    Empty {
        /// The value's name.
        value: String,
    },
    /// A value's name is not known.
    UnknownName {
        /// The value's name.
        value: String,
        /// The kind of manifest, as in `machine`; empty if it has no name.
        manifest: &'static str,
    },
    /// A value is not what it should be.
    Invalid {
        /// The value's name.
        value: String,
        /// What is wrong.
        source: ValueError,
    },
    /// Values contradict each other.
    Conflict(&'static str),
    /// What a `Serialize` or `Deserialize` implementation says.
    Custom {
        /// The value's name, if it is known.
        value: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// Reading or writing failed.
    Io(io::Error),
}

/// The part of a manifest that an encoding error is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Outside of names and values, when read.
    Manifest,
    /// In a name that is read.
    ManifestName,
    /// In a value that is read.
    ManifestValue,
    /// In a name to be written.
    Name,
    /// In a value to be written.
    Value,
    /// In a comment to be written.
    Comment,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { name: String::new(), position: None, kind }))
    }

    pub(crate) fn at(position: Position, kind: ErrorKind) -> Self {
        Self(Box::new(Inner { name: String::new(), position: Some(position), kind }))
    }

    /// Gives the error the stream's name, unless it has one.
    pub(crate) fn named(mut self, name: &str) -> Self {
        if self.0.name.is_empty() {
            name.clone_into(&mut self.0.name);
        }
        self
    }

    /// Gives the error a position, unless it has one.
    pub(crate) fn or_at(mut self, position: Position) -> Self {
        self.0.position.get_or_insert(position);
        self
    }

    /// Gives an error of a `Deserialize` implementation the name of the value that it is about.
    pub(crate) fn or_value(mut self, name: &str) -> Self {
        if let ErrorKind::Custom { value: value @ None, .. } = &mut self.0.kind {
            *value = Some(name.to_owned());
        }
        self
    }

    /// Returns the stream's name; empty if it has none.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns where the error is, if it is about a place in a text.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// Returns the line, from 1; 0 if the error is not about a place in a text.
    pub fn line(&self) -> u64 {
        self.0.position.map_or(0, |p| p.line)
    }

    /// Returns the column, from 1; 0 if the error is not about a place in a text.
    pub fn column(&self) -> u64 {
        self.0.position.map_or(0, |p| p.column)
    }

    /// Returns what is wrong, without name and position.
    pub fn message(&self) -> String {
        self.0.kind.to_string()
    }

    /// Returns what is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.name.is_empty() {
            write!(f, "{}:", self.0.name)?;
        }
        if let Some(position) = self.0.position {
            write!(f, "{position}:")?;
        }
        if !self.0.name.is_empty() || self.0.position.is_some() {
            f.write_str(" ")?;
        }
        write!(f, "error: {}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::new(ErrorKind::Io(error))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding { part: part @ (Part::Name | Part::Value | Part::Comment), source }
                if *source == EncodingError::Truncated =>
            {
                write!(f, "invalid {part}: incomplete UTF-8 sequence")
            }
            Self::Encoding { part, source } => write!(f, "invalid {part}: {source}"),
            Self::ColonExpected => f.write_str("':' expected after name"),
            Self::VersionPairExpected => f.write_str("format version pair expected"),
            Self::VersionValueExpected => f.write_str("format version value expected"),
            Self::UnsupportedVersion(version) => write!(f, "unsupported format version {version}"),
            Self::ManifestExpected => f.write_str("start of manifest expected"),
            Self::SingleManifestExpected => f.write_str("single manifest expected"),
            Self::Limit { limit, maximum } => write!(f, "{limit} {maximum}"),
            Self::NameStartsWithHash => f.write_str("name starts with '#'"),
            Self::NameHasWhitespace => f.write_str("name contains whitespace"),
            Self::NameHasColon => f.write_str("name contains ':'"),
            Self::AfterEnd => f.write_str("serialization after eos"),
            Self::Missing { value } => write!(f, "no {} specified", Shown(value)),
            Self::Redefinition { value } => write!(f, "{} redefinition", Shown(value)),
            Self::Empty { value } => write!(f, "empty {}", Shown(value)),
            Self::UnknownName { value, manifest: "" } => {
                write!(f, "unknown name '{}' in manifest", Shown(value))
            }
            Self::UnknownName { value, manifest } => {
                write!(f, "unknown name '{}' in {manifest} manifest", Shown(value))
            }
            Self::Invalid { value, source } => write!(f, "invalid {}: {source}", Shown(value)),
            Self::Conflict(message) => f.write_str(message),
            Self::Custom { value: Some(value), message } => {
                write!(f, "invalid {}: {message}", Shown(value))
            }
            Self::Custom { value: None, message } => f.write_str(message),
            Self::Io(_) => f.write_str("cannot read or write manifest"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::ManifestName => "manifest name",
            Self::ManifestValue => "manifest value",
            Self::Name => "name",
            Self::Value => "value",
            Self::Comment => "comment",
        })
    }
}

/// Input shown in a message: escaped, and cut after 80 characters.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 80;
        for c in self.0.chars().take(MAX) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        if self.0.chars().nth(MAX).is_some() { f.write_str("...") } else { Ok(()) }
    }
}
