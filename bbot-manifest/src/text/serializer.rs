//! The serializer.

use std::fmt;
use std::io::Write;

use crate::encoding::{self, EncodingError, InvalidCodePoint};
use crate::error::{Error, ErrorKind, Part};
use crate::text::ascii::{is_ascii_name, is_ascii_text};
use crate::text::fragment;
use crate::text::lines::Lines;

/// Writes manifests.
///
/// Each pair is written at once and in small pieces, so that the writer should be buffered.
///
/// ```
/// use bbot_manifest::{Lines, Serializer};
///
/// let mut text = Vec::new();
/// let mut serializer = Serializer::new(&mut text, Lines::Wrapped);
/// serializer.start()?;
/// serializer.pair("name", "libhello")?;
/// serializer.pair("summary", "two\nlines")?;
/// serializer.end()?;
/// serializer.finish()?;
/// assert_eq!(text, b": 1\nname: libhello\nsummary:\n\\\ntwo\nlines\n\\\n");
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
pub struct Serializer<W> {
    writer: W,
    lines: Lines,
    stage: Stage,
    name: String,
}

/// Where in the stream the serializer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the first manifest.
    First,
    /// In a manifest.
    Inside,
    /// After a manifest.
    Between,
    /// After the end of the stream.
    Ended,
}

impl<W: Write> Serializer<W> {
    /// Returns a serializer that writes to `writer`.
    pub fn new(writer: W, lines: Lines) -> Self {
        Self { writer, lines, stage: Stage::First, name: String::new() }
    }

    /// Gives the stream a name for error messages.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Starts a manifest, after ending the one before.
    ///
    /// # Errors
    ///
    /// As [`pair`](Self::pair).
    pub fn start(&mut self) -> Result<(), Error> {
        self.pair("", "1")
    }

    /// Ends a manifest.
    ///
    /// # Errors
    ///
    /// As [`pair`](Self::pair).
    pub fn end(&mut self) -> Result<(), Error> {
        if self.stage == Stage::Inside { self.pair("", "") } else { Ok(()) }
    }

    /// Ends the stream and returns the writer.
    ///
    /// # Errors
    ///
    /// As [`pair`](Self::pair).
    pub fn finish(mut self) -> Result<W, Error> {
        self.end()?;
        if self.stage != Stage::Ended {
            self.pair("", "")?;
        }
        Ok(self.writer)
    }

    /// Writes a pair.
    ///
    /// A pair with an empty name is one of the format itself: with a version it starts a manifest,
    /// after ending the one before; with an empty value it ends the manifest, or, outside of one,
    /// the stream.
    ///
    /// # Errors
    ///
    /// The name or the value cannot be written (and no part of them has been), the pair is out of
    /// sequence, or the writer fails.
    pub fn pair(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let result = self.step(name.as_ref(), value.as_ref());
        result.map_err(|error| error.named(&self.name))
    }

    /// Writes a comment line.
    ///
    /// A newline in the text is written as it is: what follows it is read as pairs.
    ///
    /// # Errors
    ///
    /// The text cannot be written, the stream has ended, or the writer fails.
    pub fn comment(&mut self, text: impl AsRef<[u8]>) -> Result<(), Error> {
        let result = self.write_comment(text.as_ref());
        result.map_err(|error| error.named(&self.name))
    }

    fn step(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        match self.stage {
            Stage::Ended => Err(Error::new(ErrorKind::AfterEnd)),
            Stage::Inside if !name.is_empty() => self.write_pair(name, value),
            Stage::Inside if value.is_empty() => {
                self.stage = Stage::Between;
                Ok(())
            }
            _ if !name.is_empty() => Err(Error::new(ErrorKind::VersionPairExpected)),
            _ if value.is_empty() => {
                self.stage = Stage::Ended;
                Ok(())
            }
            _ => self.write_start(value),
        }
    }

    fn write_start(&mut self, version: &[u8]) -> Result<(), Error> {
        if version != b"1" {
            let version = checked(version, Part::Value)?.to_owned();
            return Err(Error::new(ErrorKind::UnsupportedVersion(version)));
        }
        let line: &[u8] = if self.stage == Stage::First { b": 1\n" } else { b":\n" };
        self.writer.write_all(line)?;
        self.stage = Stage::Inside;
        Ok(())
    }

    /// Writes a pair, by the fast path if it is a short line of ASCII.
    pub(super) fn write_pair(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        if is_short_ascii(name, value) {
            self.writer.write_all(name)?;
            self.writer.write_all(b": ")?;
            self.writer.write_all(value)?;
            return Ok(self.writer.write_all(b"\n")?);
        }
        self.write_general_pair(name, value)
    }

    /// Writes a pair by the general path.
    #[inline]
    pub(super) fn write_general_pair(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let name = checked_name(name)?;
        let value = checked(value, Part::Value)?;
        self.writer.write_all(name.as_bytes())?;
        if value.is_empty() {
            self.writer.write_all(b":\n")?;
            return Ok(());
        }
        let start = name.chars().count() + 2;
        if start > SIMPLE_START_MAX || needs_lines(value) {
            // D2: the introducer on a line of its own.
            self.writer.write_all(b":\n\\\n")?;
            fragment::write_lines(&mut self.writer, value, self.lines)?;
            self.writer.write_all(b"\n\\\n")?;
        } else {
            self.writer.write_all(b": ")?;
            fragment::write(&mut self.writer, value, start, self.lines)?;
            self.writer.write_all(b"\n")?;
        }
        Ok(())
    }

    fn write_comment(&mut self, text: &[u8]) -> Result<(), Error> {
        if self.stage == Stage::Ended {
            return Err(Error::new(ErrorKind::AfterEnd));
        }
        let text = checked(text, Part::Comment)?;
        self.writer.write_all(if text.is_empty() { b"#" } else { b"# " })?;
        self.writer.write_all(text.as_bytes())?;
        self.writer.write_all(b"\n")?;
        Ok(())
    }
}

impl<W> fmt::Debug for Serializer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut serializer = f.debug_struct("Serializer");
        serializer.field("name", &self.name).field("lines", &self.lines);
        serializer.field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// The last column at which a simple value may start, from 0.
const SIMPLE_START_MAX: usize = 39;

/// Returns the bytes that a serializer has written as a text.
pub(crate) fn text(written: Vec<u8>) -> String {
    String::from_utf8(written).expect("a serializer writes checked text only")
}

/// Whether a pair is a short line of ASCII, which needs neither escapes nor breaks.
fn is_short_ascii(name: &[u8], value: &[u8]) -> bool {
    let ends = [value.first(), value.last()];
    let short =
        name.len() + 2 + value.len() <= fragment::COLUMNS && name.len() + 2 <= SIMPLE_START_MAX;
    short
        && ends.iter().all(|end| end.is_some_and(|end| *end != b' ' && *end != b'\\'))
        && is_ascii_name(name)
        && is_ascii_text(value)
}

/// Whether a value can only be written in the multi-line form.
fn needs_lines(value: &str) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    is_space(bytes.first())
        || is_space(bytes.last())
        || memchr::memchr2(b'\n', b'\r', bytes).is_some()
}

/// Checks text to be written.
fn checked(bytes: &[u8], part: Part) -> Result<&str, Error> {
    let (text, mut invalid) = encoding::decode(bytes);
    if let Some((_, refused)) = encoding::first_refused(text) {
        invalid = Some(refused);
    }
    if part == Part::Value
        && let Some(EncodingError::Byte { index: 1.., byte: b'\n' | b'\r' }) =
            invalid.map(|invalid| invalid.error)
    {
        // Values are checked line by line, so that the newline ends the sequence.
        let error = EncodingError::Truncated;
        invalid = Some(InvalidCodePoint { error, after_first_byte: true });
    }
    match invalid {
        None => Ok(text),
        Some(invalid) => Err(Error::new(ErrorKind::Encoding { part, error: invalid.error })),
    }
}

/// Checks a name to be written; the first problem in it is reported.
fn checked_name(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.first() == Some(&b'#') {
        return Err(Error::new(ErrorKind::NameStartsWithHash));
    }
    let delimiter = bytes.iter().position(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b':'));
    let Some(delimiter) = delimiter else { return checked(bytes, Part::Name) };
    checked(&bytes[..delimiter], Part::Name).map_err(|error| within(error, bytes, delimiter))?;
    let kind = match bytes[delimiter] {
        b':' => ErrorKind::NameHasColon,
        _ => ErrorKind::NameHasWhitespace,
    };
    Err(Error::new(kind))
}

/// Returns the error of a name whose UTF-8 sequence ends at `delimiter`: it is that byte which is
/// wrong, rather than the end of the name.
fn within(error: Error, bytes: &[u8], delimiter: usize) -> Error {
    match error.kind() {
        ErrorKind::Encoding { error: EncodingError::Truncated, .. } => {
            match checked(&bytes[..=delimiter], Part::Name) {
                Err(error) => error,
                Ok(_) => error,
            }
        }
        _ => error,
    }
}
