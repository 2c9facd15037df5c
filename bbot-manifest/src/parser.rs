//! The parser for input in memory.

use crate::encoding;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::limits::{Limit, Limits};
use crate::position::Position;
use crate::scan::{Beyond, Stop};
use crate::sequence::Sequence;
use crate::survey::Survey;

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
    /// The input up to the first flaw that is known; `beyond` is what stands there.
    text: &'a str,
    beyond: Beyond,
    survey: Survey,
    sequence: Sequence,
    bytes: u64,
    name: String,
}

impl<'a> Parser<'a> {
    /// Starts to parse `input`, a text or bytes.
    pub fn new<I: AsRef<[u8]> + ?Sized>(input: &'a I) -> Self {
        let input = input.as_ref();
        let (text, flaw) = encoding::decode(input);
        Self {
            text,
            beyond: flaw.map_or(Beyond::Eof, Beyond::Flaw),
            survey: Survey::new(),
            sequence: Sequence::new(),
            bytes: input.len() as u64,
            name: String::new(),
        }
    }

    /// Starts to parse a part of a stream whose first manifest need not say the version.
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

    fn check_more(&mut self) {
        let in_multi = self.sequence.scanner.is_in_multi();
        if let Some(flaw) = self.survey.check_more(self.text, in_multi) {
            self.text = &self.text[..self.survey.checked()];
            self.beyond = Beyond::Flaw(flaw);
        }
    }

    /// Checks more if that may show the end of a usual line; returns whether it has been done.
    #[inline(never)]
    fn check_lines(&mut self) -> bool {
        let more = self.sequence.is_inside() && self.survey.is_passed(self.text);
        if more {
            self.check_more();
        }
        more
    }

    #[cold]
    fn too_long(&mut self, maximum: u64) -> Error {
        self.sequence.close();
        let kind = ErrorKind::Limit { limit: Limit::Bytes, maximum };
        Error::at(Position::START, kind).named(&self.name)
    }

    #[inline(never)]
    fn step(&mut self) -> Result<Option<Event<'a>>, Error> {
        let maximum = self.sequence.scanner.limits().bytes;
        if self.bytes > maximum && !self.sequence.is_closed() {
            return Err(self.too_long(maximum));
        }
        loop {
            let window = self.survey.window(self.text, self.beyond);
            match self.sequence.next_event(window) {
                Ok(event) => {
                    self.survey.pass_lines(self.sequence.scanner.last_pair().end);
                    return Ok(event.map(|event| event.resolve(window.text)));
                }
                Err(Stop::More) => self.check_more(),
                Err(Stop::Fail(error)) => return Err(error.named(&self.name)),
            }
        }
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Event<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.sequence.next_line(self.text, &mut self.survey) {
                return Some(Ok(line.resolve(self.text)));
            }
            if let Some(mark) = self.sequence.next_mark(self.text, &mut self.survey) {
                return Some(Ok(mark));
            }
            if !self.check_lines() {
                return self.step().transpose();
            }
        }
    }
}
