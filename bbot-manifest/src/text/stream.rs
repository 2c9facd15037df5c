//! The parser of input that does not fit in memory.

use std::fmt;
use std::io::{self, BufRead};

use crate::encoding::{self, EncodingError, InvalidCodePoint};
use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::position::Position;
use crate::text::event::Event;
use crate::text::scanner::Stop;
use crate::text::sequence::Sequence;
use crate::text::validated::Validated;
use crate::text::window::WindowEnd;

/// Parses manifests as they are read.
///
/// It holds one pair at a time, so that its memory depends on the longest value ([`Limits::value`]
/// bounds that), not on the length of the stream. It returns each event as soon as the text that
/// determines it has been read.
///
/// ```
/// use bbot_manifest::{Event, StreamParser};
///
/// let input = std::io::Cursor::new(": 1\nname: libhello\n");
/// let mut parser = StreamParser::new(input).with_name("stdin");
/// while let Some(event) = parser.next_event()? {
///     if let Event::Pair(pair) = event {
///         assert_eq!((pair.name, &*pair.value), ("name", "libhello"));
///     }
/// }
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
pub struct StreamParser<R> {
    reader: R,
    input: Input,
    validated: Validated,
    sequence: Sequence,
    name: String,
}

impl<R: BufRead> StreamParser<R> {
    /// Returns a parser of what `reader` reads.
    pub fn new(reader: R) -> Self {
        let input = Input {
            text: String::new(),
            partial: [0; 4],
            partial_length: 0,
            after_cr: false,
            end: WindowEnd::More,
            bytes: 0,
        };
        let validated = Validated::new();
        Self { reader, input, validated, sequence: Sequence::new(), name: String::new() }
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

    /// Reads up to the next event; `None` after [`Event::EndOfStream`] and after an error.
    ///
    /// # Errors
    ///
    /// The text is not a manifest, a limit is exceeded, or the reader fails.
    #[inline]
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        loop {
            if let Some(line) = self.sequence.next_line(&self.input.text, &mut self.validated) {
                return Ok(Some(line.resolve(&self.input.text)));
            }
            if let Some(mark) = self.sequence.next_mark(&self.input.text, &mut self.validated) {
                return Ok(Some(mark));
            }
            if !self.extend_lines() {
                return self.general_step();
            }
        }
    }

    /// Returns the next event by the general path.
    #[inline(never)]
    pub(super) fn general_step(&mut self) -> Result<Option<Event<'_>>, Error> {
        loop {
            let window = self.validated.window(&self.input.text, self.input.end);
            match self.sequence.next_event(window) {
                Ok(event) => {
                    self.validated.take_lines(self.sequence.scanner.last_pair().end);
                    return Ok(event.map(|event| event.resolve(&self.input.text)));
                }
                Err(Stop::More) if self.validated.length() < self.input.text.len() => {
                    self.extend();
                }
                Err(Stop::More) => self.read().map_err(|error| error.named(&self.name))?,
                Err(Stop::Fail(error)) => return Err(error.named(&self.name)),
            }
        }
    }

    fn extend(&mut self) {
        let in_multi = self.sequence.scanner.is_in_multi();
        if let Some(invalid) = self.validated.extend(&self.input.text, in_multi) {
            self.input.text.truncate(self.validated.length());
            self.input.end = WindowEnd::Invalid(invalid);
        }
    }

    /// Validates another step if the fast path may take lines of it; returns whether it has.
    #[inline(never)]
    fn extend_lines(&mut self) -> bool {
        let more = self.sequence.is_inside() && self.validated.is_exhausted(&self.input.text);
        if more {
            self.extend();
        }
        more
    }

    /// Reads the next part of the input.
    fn read(&mut self) -> Result<(), Error> {
        /// The most bytes that are taken at once, so that the contents of a large buffer are not
        /// copied as a whole.
        const STEP: usize = 16 << 10;
        let done = self.sequence.scanner.release();
        self.input.text.drain(..done);
        self.validated.release(done);
        let length = loop {
            match self.reader.fill_buf() {
                Ok(input) => {
                    let input = &input[..input.len().min(STEP)];
                    self.input.take(input);
                    break input.len();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fail(ErrorKind::Io(e))),
            }
        };
        self.reader.consume(length);
        let maximum = self.sequence.scanner.limits().bytes;
        if self.input.bytes > maximum {
            return Err(self.fail(ErrorKind::Limit { limit: Limit::Bytes, maximum }));
        }
        Ok(())
    }

    fn fail(&mut self, kind: ErrorKind) -> Error {
        self.sequence.close();
        Error::at(self.position(), kind)
    }
}

impl<R> fmt::Debug for StreamParser<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.sequence.scanner.position();
        let mut parser = f.debug_struct("StreamParser");
        parser.field("name", &self.name).field("position", &position).finish_non_exhaustive()
    }
}

/// The input that has been read and is still needed.
struct Input {
    /// Text from the scanner's current pair on, with LF for each newline. It is UTF-8; its code
    /// points have been checked as far as it is validated.
    text: String,
    /// The first bytes of a code point whose other bytes have not been read.
    partial: [u8; 4],
    partial_length: usize,
    /// The last byte that was read is a CR: the rest of its run is to be skipped.
    after_cr: bool,
    /// What follows `text`.
    end: WindowEnd,
    /// Bytes that have been read.
    bytes: u64,
}

impl Input {
    /// Takes the next bytes; no bytes are the end of the input.
    fn take(&mut self, mut input: &[u8]) {
        self.bytes += input.len() as u64;
        if input.is_empty() {
            self.end = match self.partial_length {
                0 => WindowEnd::Eof,
                _ => WindowEnd::Invalid(InvalidCodePoint {
                    error: EncodingError::Truncated,
                    after_first_byte: true,
                }),
            };
        }
        while self.partial_length > 0
            && let Some((&byte, rest)) = input.split_first()
        {
            input = rest;
            self.complete(byte);
        }
        if matches!(self.end, WindowEnd::More) {
            self.decode(input);
        }
    }

    /// Adds a byte to the incomplete code point.
    fn complete(&mut self, byte: u8) {
        let mut bytes = self.partial;
        let length = self.partial_length + 1;
        bytes[length - 1] = byte;
        self.partial_length = 0;
        self.decode(&bytes[..length]);
    }

    /// Appends the text at the beginning of `input`, and keeps an incomplete code point at its end.
    fn decode(&mut self, input: &[u8]) {
        let error = match std::str::from_utf8(input) {
            Ok(text) => {
                self.append(text);
                return;
            }
            Err(error) => error,
        };
        let (valid, rest) = input.split_at(error.valid_up_to());
        self.append(std::str::from_utf8(valid).unwrap_or_default());
        if error.error_len().is_some() {
            self.end = WindowEnd::Invalid(encoding::malformed(rest));
        } else {
            self.partial[..rest.len()].copy_from_slice(rest);
            self.partial_length = rest.len();
        }
    }

    /// Appends text, with LF for each newline.
    fn append(&mut self, mut text: &str) {
        if self.after_cr && !text.is_empty() {
            text = self.skip_newline(text);
        }
        while let Some(cr) = memchr::memchr(b'\r', text.as_bytes()) {
            self.text.push_str(&text[..cr]);
            self.text.push('\n');
            text = self.skip_newline(&text[cr..]);
        }
        self.text.push_str(text);
    }

    /// Returns what follows the CRs and the LF that `text` starts with.
    fn skip_newline<'t>(&mut self, text: &'t str) -> &'t str {
        let rest = text.trim_start_matches('\r');
        self.after_cr = rest.is_empty();
        rest.strip_prefix('\n').unwrap_or(rest)
    }
}
