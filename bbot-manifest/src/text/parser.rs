//! The parser of input in memory.

use std::fmt;

use crate::encoding;
use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::position::Position;
use crate::text::event::Event;
use crate::text::scanner::Stop;
use crate::text::sequence::Sequence;
use crate::text::validated::Validated;
use crate::text::window::WindowEnd;

/// Parses manifests in memory to events that borrow from it.
///
/// It is an iterator that ends after [`Event::EndOfStream`] or the first error.
///
/// ```
/// use bbot_manifest::{Event, Parser};
///
/// let mut names = Vec::new();
/// for event in Parser::new(": 1\nname: libhello\nversion: 1.2.3\n") {
///     if let Event::Pair(pair) = event? {
///         names.push(pair.name);
///     }
/// }
/// assert_eq!(names, ["name", "version"]);
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
pub struct Parser<'a> {
    /// The input up to the first invalid code point that has been found.
    text: &'a str,
    /// What follows `text`.
    end: WindowEnd,
    validated: Validated,
    sequence: Sequence,
    bytes: u64,
    name: String,
}

impl<'a> Parser<'a> {
    /// Returns a parser of `input`, a text or bytes.
    pub fn new<I: AsRef<[u8]> + ?Sized>(input: &'a I) -> Self {
        let input = input.as_ref();
        let (text, invalid) = encoding::decode(input);
        Self {
            text,
            end: invalid.map_or(WindowEnd::Eof, WindowEnd::Invalid),
            validated: Validated::new(),
            sequence: Sequence::new(),
            bytes: input.len() as u64,
            name: String::new(),
        }
    }

    /// Returns a parser of a part of a stream, whose first manifest may leave the version out.
    pub(crate) fn continued(input: &'a [u8]) -> Self {
        let mut parser = Self::new(input);
        parser.sequence.inherit_version();
        parser
    }

    /// Returns the offset of the line in which the last pair starts.
    pub(crate) fn last_line_start(&self) -> usize {
        let name = self.sequence.scanner.last_pair().start;
        // Only spaces can stand before a name.
        self.text[..name].trim_end_matches([' ', '\t']).len()
    }

    /// Returns the offset after the last pair.
    pub(crate) fn last_end(&self) -> usize {
        self.sequence.scanner.last_pair().end
    }

    /// Gives the stream a name for error messages.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.sequence.scanner.set_limits(limits);
        self
    }

    /// Returns the stream's name; empty if it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the position up to which the input has been consumed.
    pub fn position(&self) -> Position {
        self.sequence.scanner.position()
    }

    fn extend(&mut self) {
        let in_multi = self.sequence.scanner.is_in_multi();
        if let Some(invalid) = self.validated.extend(self.text, in_multi) {
            self.text = &self.text[..self.validated.length()];
            self.end = WindowEnd::Invalid(invalid);
        }
    }

    /// Validates another step if the fast path may take lines of it; returns whether it has.
    #[inline(never)]
    fn extend_lines(&mut self) -> bool {
        let more = self.sequence.is_inside() && self.validated.is_exhausted(self.text);
        if more {
            self.extend();
        }
        more
    }

    #[cold]
    fn too_long(&mut self, maximum: u64) -> Error {
        self.sequence.close();
        let kind = ErrorKind::Limit { limit: Limit::Bytes, maximum };
        Error::at(Position::START, kind).named(&self.name)
    }

    /// Returns the next event by the general path.
    #[inline(never)]
    pub(super) fn general_step(&mut self) -> Result<Option<Event<'a>>, Error> {
        let maximum = self.sequence.scanner.limits().bytes;
        if self.bytes > maximum && !self.sequence.is_closed() {
            return Err(self.too_long(maximum));
        }
        loop {
            let window = self.validated.window(self.text, self.end);
            match self.sequence.next_event(window) {
                Ok(event) => {
                    self.validated.take_lines(self.sequence.scanner.last_pair().end);
                    return Ok(event.map(|event| event.resolve(window.text)));
                }
                Err(Stop::More) => self.extend(),
                Err(Stop::Fail(error)) => return Err(error.named(&self.name)),
            }
        }
    }
}

impl fmt::Debug for Parser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parser = f.debug_struct("Parser");
        parser.field("name", &self.name).field("position", &self.position());
        parser.finish_non_exhaustive()
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Event<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.sequence.next_line(self.text, &mut self.validated) {
                return Some(Ok(line.resolve(self.text)));
            }
            if let Some(mark) = self.sequence.next_mark(self.text, &mut self.validated) {
                return Some(Ok(mark));
            }
            if !self.extend_lines() {
                return self.general_step().transpose();
            }
        }
    }
}
