//! The parser for input that does not fit in memory.

use std::io::{self, BufRead};

use crate::encoding::{self, EncodingError, Flaw};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::limits::{Limit, Limits};
use crate::position::Position;
use crate::scan::{Beyond, Stop};
use crate::sequence::Sequence;
use crate::survey::Survey;

/// Parses manifests as they are read.
///
/// It holds one pair at a time, so the memory that it needs depends on the longest value
/// ([`Limits::value`] bounds that), not on the length of the stream. It gives each event as soon
/// as the text that decides on it has been read.
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
    intake: Intake,
    survey: Survey,
    sequence: Sequence,
    name: String,
}

impl<R: BufRead> StreamParser<R> {
    /// Starts to parse what `reader` gives.
    pub fn new(reader: R) -> Self {
        let intake = Intake {
            text: String::new(),
            partial: [0; 4],
            partial_length: 0,
            after_cr: false,
            beyond: Beyond::More,
            bytes: 0,
        };
        let survey = Survey::new();
        Self { reader, intake, survey, sequence: Sequence::new(), name: String::new() }
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
    /// What is wrong with the manifest, that a limit is passed, or that the reader fails.
    #[inline]
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        loop {
            if let Some(line) = self.sequence.next_line(&self.intake.text, &mut self.survey) {
                return Ok(Some(line.resolve(&self.intake.text)));
            }
            if let Some(mark) = self.sequence.next_mark(&self.intake.text, &mut self.survey) {
                return Ok(Some(mark));
            }
            if !self.check_lines() {
                return self.step();
            }
        }
    }

    #[inline(never)]
    fn step(&mut self) -> Result<Option<Event<'_>>, Error> {
        loop {
            let window = self.survey.window(&self.intake.text, self.intake.beyond);
            match self.sequence.next_event(window) {
                Ok(event) => {
                    self.survey.pass_lines(self.sequence.scanner.last_pair().end);
                    return Ok(event.map(|event| event.resolve(&self.intake.text)));
                }
                Err(Stop::More) if self.survey.checked() < self.intake.text.len() => {
                    self.check_more();
                }
                Err(Stop::More) => self.read().map_err(|error| error.named(&self.name))?,
                Err(Stop::Fail(error)) => return Err(error.named(&self.name)),
            }
        }
    }

    fn check_more(&mut self) {
        let in_multi = self.sequence.scanner.is_in_multi();
        if let Some(flaw) = self.survey.check_more(&self.intake.text, in_multi) {
            self.intake.text.truncate(self.survey.checked());
            self.intake.beyond = Beyond::Flaw(flaw);
        }
    }

    /// Checks more if that may show the end of a usual line; returns whether it has been done.
    #[inline(never)]
    fn check_lines(&mut self) -> bool {
        let more = self.sequence.is_inside() && self.survey.is_passed(&self.intake.text);
        if more {
            self.check_more();
        }
        more
    }

    /// Reads the next part of the input.
    fn read(&mut self) -> Result<(), Error> {
        /// Bytes taken at once, so that a reader with everything in its buffer is not copied.
        const STEP: usize = 16 << 10;
        let done = self.sequence.scanner.release();
        self.intake.text.drain(..done);
        self.survey.release(done);
        let length = loop {
            match self.reader.fill_buf() {
                Ok(input) => {
                    let input = &input[..input.len().min(STEP)];
                    self.intake.take(input);
                    break input.len();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fail(ErrorKind::Io(e))),
            }
        };
        self.reader.consume(length);
        let maximum = self.sequence.scanner.limits().bytes;
        if self.intake.bytes > maximum {
            return Err(self.fail(ErrorKind::Limit { limit: Limit::Bytes, maximum }));
        }
        Ok(())
    }

    fn fail(&mut self, kind: ErrorKind) -> Error {
        self.sequence.close();
        Error::at(self.position(), kind)
    }
}

/// What has been read and is still needed.
struct Intake {
    /// Text, with LF for each newline, from the scanner's present pair on. Its code points are
    /// still to be checked.
    text: String,
    /// The beginning of a code point whose other bytes have not been read.
    partial: [u8; 4],
    partial_length: usize,
    /// The last newline was a CR: what is left of its run is still to be skipped.
    after_cr: bool,
    /// What the reader has after `text`.
    beyond: Beyond,
    /// Bytes taken.
    bytes: u64,
}

impl Intake {
    /// Takes the next bytes; none means the end of the input.
    fn take(&mut self, mut input: &[u8]) {
        self.bytes += input.len() as u64;
        if input.is_empty() {
            self.beyond = match self.partial_length {
                0 => Beyond::Eof,
                _ => Beyond::Flaw(Flaw { error: EncodingError::Truncated, late: true }),
            };
        }
        while self.partial_length > 0
            && let Some((&byte, rest)) = input.split_first()
        {
            input = rest;
            self.complete(byte);
        }
        if matches!(self.beyond, Beyond::More) {
            self.decode(input);
        }
    }

    /// Adds a byte to the partial code point.
    fn complete(&mut self, byte: u8) {
        let mut bytes = self.partial;
        let length = self.partial_length + 1;
        bytes[length - 1] = byte;
        self.partial_length = 0;
        self.decode(&bytes[..length]);
    }

    /// Appends the text that `input` starts with, and keeps a partial code point at its end.
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
            self.beyond = Beyond::Flaw(encoding::malformed(rest));
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
