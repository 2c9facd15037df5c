//! The parser for input in memory.

use crate::encoding::{self, Flaw};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::limits::{Limit, Limits};
use crate::position::Position;
use crate::scan::{Beyond, Stop, Window};
use crate::sequence::Sequence;

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
    /// The input up to the first flaw that is known.
    text: &'a str,
    flaw: Option<Flaw>,
    /// The code points up to here are known to be fine.
    checked: usize,
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
            flaw,
            checked: 0,
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

    fn window(&self) -> Window<'a> {
        let beyond = match self.flaw {
            _ if self.checked < self.text.len() => Beyond::More,
            Some(flaw) => Beyond::Flaw(flaw),
            None => Beyond::Eof,
        };
        Window { text: &self.text[..self.checked], beyond }
    }

    /// Checks the code points of the next part of the input, so that it is still in the cache
    /// when the scanner comes to it.
    fn check_more(&mut self) {
        const STEP: usize = 16 << 10;
        let mut end = self.text.len().min(self.checked + STEP);
        let bytes = self.text.as_bytes();
        // The scanner must see a run of CRs, and the LF behind it, as a whole.
        let in_newline =
            |end: usize| bytes[end - 1] == b'\r' && matches!(bytes[end], b'\r' | b'\n');
        while end < bytes.len() && (!self.text.is_char_boundary(end) || in_newline(end)) {
            end += 1;
        }
        match encoding::find_refused(&self.text[self.checked..end]) {
            None => self.checked = end,
            Some((offset, flaw)) => {
                self.checked += offset;
                self.text = &self.text[..self.checked];
                self.flaw = Some(flaw);
            }
        }
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
            let window = self.window();
            match self.sequence.next_event(window) {
                Ok(event) => return Ok(event.map(|event| event.resolve(window.text))),
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
        let checked = &self.text[..self.checked];
        if let Some(line) = self.sequence.next_line(checked) {
            return Some(Ok(line.resolve(checked)));
        }
        if let Some(mark) = self.sequence.next_mark(checked) {
            return Some(Ok(mark));
        }
        self.step().transpose()
    }
}
