//! The scanner's state, and what both of its paths use.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Part};
use crate::limits::{Limit, Limits};
use crate::position::{Position, count};
use crate::text::unescape::Form;
use crate::text::window::{Window, WindowEnd};

/// Why the scanner has no pair.
pub(crate) enum Stop {
    /// The window is too short to tell.
    More,
    /// The text is not a manifest.
    Fail(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fail(error)
    }
}

/// A pair, as offsets into the window.
#[derive(Clone)]
pub(crate) struct RawPair {
    pub(crate) name: Range<usize>,
    pub(crate) name_at: Position,
    pub(crate) value: Range<usize>,
    pub(crate) form: Form,
    pub(crate) value_at: Position,
}

/// The scanner's place in the grammar. Offsets are into the window.
#[derive(Clone, Copy)]
pub(super) enum State {
    /// Between pairs: spaces and blank lines.
    Outside,
    /// After a `#`.
    Comment,
    /// In a name.
    Name { scan: usize },
    /// Between the name and its colon.
    Gap { name_end: usize, scan: usize },
    /// Between the colon and the value.
    Lead { name_end: usize, scan: usize },
    /// In a simple value.
    Simple { name_end: usize, value: SimpleValue },
    /// In a multi-line value.
    Multi { name_end: usize, value: MultiValue },
}

/// A simple value, as far as it has been scanned.
#[derive(Clone, Copy)]
pub(super) struct SimpleValue {
    pub(super) start: usize,
    /// The start of the current line.
    pub(super) line: usize,
    /// There is no newline between `line` and here.
    pub(super) scan: usize,
    /// Newlines before `line`.
    pub(super) lines: u64,
    /// The value is not a single piece of the text.
    pub(super) broken: bool,
    /// The line before was continued, so that a lone backslash in this one stands for a newline.
    pub(super) fresh: bool,
}

/// A multi-line value, as far as it has been scanned.
#[derive(Clone, Copy)]
pub(super) struct MultiValue {
    pub(super) start: usize,
    /// There is no end mark before here.
    pub(super) scan: usize,
    /// Lines between the name and the start.
    pub(super) lead_lines: u64,
    /// The value is not a single piece of the text.
    pub(super) broken: bool,
}

/// What is at an offset of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peek {
    Byte(u8),
    Eof,
    /// A refused code point whose first byte is valid by itself.
    InvalidLater,
}

impl Peek {
    pub(super) fn is_line_end(self) -> bool {
        matches!(self, Self::Byte(b'\n' | b'\r') | Self::Eof)
    }
}

/// Finds pairs in a window that is extended step by step.
pub(crate) struct Scanner {
    /// The offset of the current pair: everything before it is finished.
    pub(super) pos: usize,
    /// The position of `pos`.
    pub(super) at: Position,
    pub(super) state: State,
    pub(super) limits: Limits,
    pub(super) pairs: u64,
    /// The offset of the last pair: of its name, or of the colon if it has none.
    pub(super) last: usize,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            pos: 0,
            at: Position::START,
            state: State::Outside,
            limits: Limits::default(),
            pairs: 0,
            last: 0,
        }
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the position up to which the text is finished.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// Whether the scanner is in a multi-line value.
    pub(crate) fn is_in_multi(&self) -> bool {
        matches!(self.state, State::Multi { .. })
    }

    /// Returns the offsets of the last pair: from its name to the end of its last line.
    pub(crate) fn last_pair(&self) -> Range<usize> {
        self.last..self.pos
    }

    /// Releases the text that is finished; returns its length, by which the caller shortens the
    /// window at its front.
    pub(crate) fn release(&mut self) -> usize {
        let done = std::mem::take(&mut self.pos);
        match &mut self.state {
            State::Outside | State::Comment => {}
            State::Name { scan } => *scan -= done,
            State::Gap { name_end, scan } | State::Lead { name_end, scan } => {
                *name_end -= done;
                *scan -= done;
            }
            State::Simple { name_end, value } => {
                *name_end -= done;
                value.start -= done;
                value.line -= done;
                value.scan -= done;
            }
            State::Multi { name_end, value } => {
                *name_end -= done;
                value.start -= done;
                value.scan -= done;
            }
        }
        done
    }

    /// Finishes a pair: the scanner goes on at offset `end`, whose position is `at`.
    #[inline]
    pub(super) fn finish(
        &mut self,
        pair: RawPair,
        end: usize,
        at: Position,
    ) -> Result<RawPair, Stop> {
        if !pair.name.is_empty() {
            self.pairs += 1;
            if self.pairs > self.limits.pairs {
                let kind = ErrorKind::Limit { limit: Limit::Pairs, maximum: self.limits.pairs };
                return Err(Error::at(pair.name_at, kind).into());
            }
        }
        self.last = self.pos;
        self.pos = end;
        self.at = at;
        self.state = State::Outside;
        Ok(pair)
    }

    /// Checks that the spaces around a colon do not exceed the limit of a value.
    #[inline]
    pub(super) fn check_spaces(
        &self,
        w: Window<'_>,
        name_end: usize,
        spaces: usize,
    ) -> Result<(), Stop> {
        if spaces as u64 <= self.limits.value {
            return Ok(());
        }
        let at = self.value_at(w, name_end, name_end);
        check(Limit::Value, self.limits.value, spaces, at)
    }

    /// Returns the position of a value that starts at `start` in the line of its name.
    #[inline]
    pub(super) fn value_at(&self, w: Window<'_>, name_end: usize, start: usize) -> Position {
        let name = &w.text[self.pos..name_end];
        // Between the name and the value are only the colon and spaces.
        let between = (start - name_end) as u64;
        self.at.right(count(name) + between)
    }

    /// Returns what is at `offset`. An encoding error there is reported as one in `part`.
    #[inline]
    pub(super) fn peek(&self, w: Window<'_>, offset: usize, part: Part) -> Result<Peek, Stop> {
        match w.bytes().get(offset) {
            Some(&byte) => Ok(Peek::Byte(byte)),
            None => match w.end {
                WindowEnd::More => Err(Stop::More),
                WindowEnd::Eof => Ok(Peek::Eof),
                WindowEnd::Invalid(invalid) if invalid.after_first_byte => Ok(Peek::InvalidLater),
                WindowEnd::Invalid(invalid) => {
                    Err(self.fail(w, offset, ErrorKind::Encoding { part, error: invalid.error }))
                }
            },
        }
    }

    /// Succeeds at the end of the window only if it is the end of the input.
    #[inline]
    pub(super) fn at_end(&self, w: Window<'_>, part: Part) -> Result<(), Stop> {
        match w.end {
            WindowEnd::More => Err(Stop::More),
            WindowEnd::Eof => Ok(()),
            WindowEnd::Invalid(invalid) => {
                let kind = ErrorKind::Encoding { part, error: invalid.error };
                Err(self.fail(w, w.text.len(), kind))
            }
        }
    }

    pub(super) fn fail(&self, w: Window<'_>, offset: usize, kind: ErrorKind) -> Stop {
        Stop::Fail(Error::at(self.at.after(&w.text[self.pos..offset]), kind))
    }
}

/// Checks a length against a limit; `at` is the position of an error.
#[inline]
pub(super) fn check(limit: Limit, maximum: u64, length: usize, at: Position) -> Result<(), Stop> {
    if length as u64 <= maximum {
        return Ok(());
    }
    Err(Error::at(at, ErrorKind::Limit { limit, maximum }).into())
}
