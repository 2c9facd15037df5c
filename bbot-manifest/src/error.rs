//! Errors of reading and writing manifests.

use std::fmt;
use std::io;

use crate::chain::Chain;
use crate::encoding::EncodingError;
use crate::limits::Limit;
use crate::position::Position;

pub use crate::value::error::ValueError;

/// Why a manifest could not be read or written.
///
/// Its text is `NAME:LINE:COLUMN: error: MESSAGE`, without the parts that are not known. The
/// message is complete, as those of compilers are; so the error has no
/// [`source`](std::error::Error::source) but that of a reader or writer, which the message does not
/// include. The errors within it are in its [`kind`](Self::kind).
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
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Malformed UTF-8, or a code point that a manifest must not hold.
    #[error("invalid {part}: {}", encoding_message(*part, *error))]
    Encoding {
        /// The part of the manifest.
        part: Part,
        /// What is wrong.
        error: EncodingError,
    },
    /// A name is not followed by a colon.
    #[error("':' expected after name")]
    ColonExpected,
    /// The first pair has a name.
    #[error("format version pair expected")]
    VersionPairExpected,
    /// The first pair has no value.
    #[error("format version value expected")]
    VersionValueExpected,
    /// A format version other than `1`.
    #[error("unsupported format version {0}")]
    UnsupportedVersion(String),
    /// There is no manifest, or no further one.
    #[error("start of manifest expected")]
    ManifestExpected,
    /// There is a further manifest.
    #[error("single manifest expected")]
    SingleManifestExpected,
    /// One of the limits is exceeded.
    #[error("{limit} {maximum}")]
    Limit {
        /// The limit.
        limit: Limit,
        /// Its value.
        maximum: u64,
    },
    /// A name to write starts with `#`.
    #[error("name starts with '#'")]
    NameStartsWithHash,
    /// A name to write contains a space, a tab or a newline.
    #[error("name contains whitespace")]
    NameHasWhitespace,
    /// A name to write contains a colon.
    #[error("name contains ':'")]
    NameHasColon,
    /// A pair or comment is written after the end of the stream.
    #[error("serialization after eos")]
    AfterEnd,
    /// A required value is absent.
    #[error("no {} specified", Escaped(value))]
    Missing {
        /// The value's name.
        value: String,
    },
    /// A value that must not be repeated is.
    #[error("{} redefinition", Escaped(value))]
    Redefinition {
        /// The value's name.
        value: String,
    },
    /// A value that must not be empty is.
    #[error("empty {}", Escaped(value))]
    Empty {
        /// The value's name.
        value: String,
    },
    /// The name of a value is unknown.
    #[error("unknown name '{}' in{} manifest", Escaped(value), spaced(manifest))]
    UnknownName {
        /// The value's name.
        value: String,
        /// The kind of the manifest, for example `machine`; empty if it is not known.
        manifest: &'static str,
    },
    /// A value is invalid.
    #[error("invalid {}: {}", Escaped(value), Chain(error))]
    Invalid {
        /// The value's name.
        value: String,
        /// What is wrong.
        error: ValueError,
    },
    /// Values contradict each other.
    #[error("{0}")]
    Conflict(&'static str),
    /// An error of a `Serialize` or `Deserialize` implementation.
    #[error("{}", custom_message(value.as_deref(), message))]
    Custom {
        /// The value's name, if it is known.
        value: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// Reading or writing failed.
    #[error("cannot read or write manifest")]
    Io(#[source] io::Error),
}

/// The part of a manifest that an encoding error is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Outside of names and values, when read.
    Manifest,
    /// In a name, when read.
    ManifestName,
    /// In a value, when read.
    ManifestValue,
    /// In a name, when written.
    Name,
    /// In a value, when written.
    Value,
    /// In a comment, when written.
    Comment,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { name: String::new(), position: None, kind }))
    }

    pub(crate) fn at(position: Position, kind: ErrorKind) -> Self {
        Self(Box::new(Inner { name: String::new(), position: Some(position), kind }))
    }

    /// Sets the stream's name, unless it is set.
    pub(crate) fn named(mut self, name: &str) -> Self {
        if self.0.name.is_empty() {
            name.clone_into(&mut self.0.name);
        }
        self
    }

    /// Sets the position, unless it is set.
    #[cfg(feature = "serde")]
    pub(crate) fn or_at(mut self, position: Position) -> Self {
        self.0.position.get_or_insert(position);
        self
    }

    /// Sets the name of the value that an error of serde is about, unless it is set.
    #[cfg(feature = "serde")]
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

    /// Returns the position of the error; `None` if it is not about a place in a text.
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

/// Returns the message of an encoding error.
fn encoding_message(part: Part, error: EncodingError) -> String {
    let is_written = matches!(part, Part::Name | Part::Value | Part::Comment);
    if is_written && error == EncodingError::Truncated {
        "incomplete UTF-8 sequence".to_owned()
    } else {
        error.to_string()
    }
}

/// Returns the message of an error of serde.
fn custom_message(value: Option<&str>, message: &str) -> String {
    match value {
        Some(value) => format!("invalid {}: {message}", Escaped(value)),
        None => message.to_owned(),
    }
}

/// Returns a word with a space before it; nothing if it is empty.
fn spaced(word: &str) -> String {
    if word.is_empty() { String::new() } else { format!(" {word}") }
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

/// Input in a message: escaped, and cut after 80 characters.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 80;
        for c in self.0.chars().take(MAX) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        if self.0.chars().nth(MAX).is_some() { f.write_str("...") } else { Ok(()) }
    }
}
