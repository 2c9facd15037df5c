//! The scanner: finds pairs in a window of text, and goes on where it stopped when there is more.
//!
//! It knows neither where the text comes from nor how values are built: the window is checked
//! text, the answer is offsets into it. The in-memory parser shows it the input bit by bit as the
//! check of the code points proceeds, the streaming one as it is read; so both are this one.

mod quick;

pub(crate) use self::quick::Line;

use std::ops::Range;

use memchr::memchr2;

use crate::encoding::Flaw;
use crate::error::{Error, ErrorKind, Part};
use crate::limits::{Limit, Limits};
use crate::position::{Position, count, count_newlines, newline_end};
use crate::unfold::Form;

/// Text that is known to be well-formed, and what stands behind it.
#[derive(Clone, Copy)]
pub(crate) struct Window<'w> {
    pub(crate) text: &'w str,
    pub(crate) beyond: Beyond,
}

/// What stands behind a window.
#[derive(Clone, Copy)]
pub(crate) enum Beyond {
    /// Something that is not known yet. A run of CRs never reaches to here.
    More,
    /// Nothing.
    Eof,
    /// A code point that is refused.
    Flaw(Flaw),
}

/// Why the scanner has no pair.
pub(crate) enum Stop {
    /// It must see more of the text.
    More,
    /// The text is wrong.
    Fail(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fail(error)
    }
}

/// A pair, as offsets.
#[derive(Clone)]
pub(crate) struct RawPair {
    pub(crate) name: Range<usize>,
    pub(crate) name_at: Position,
    pub(crate) value: Range<usize>,
    pub(crate) form: Form,
    pub(crate) value_at: Position,
}

/// Where in the grammar the scanner is. Offsets are into the window.
#[derive(Clone, Copy)]
enum State {
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

#[derive(Clone, Copy)]
struct SimpleValue {
    start: usize,
    /// Where the present line starts.
    line: usize,
    /// No newline stands between `line` and here.
    scan: usize,
    lines: u64,
    broken: bool,
    /// The present line was just continued to, so that a backslash alone means a newline.
    fresh: bool,
}

#[derive(Clone, Copy)]
struct MultiValue {
    start: usize,
    /// The end mark does not start before here.
    scan: usize,
    /// Lines between the name and the start.
    lead_lines: u64,
    broken: bool,
}

/// What a look at one place of the text shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peek {
    Byte(u8),
    Eof,
    /// The first byte of a refused code point that is fine by itself.
    Late,
}

impl Peek {
    fn is_line_end(self) -> bool {
        matches!(self, Self::Byte(b'\n' | b'\r') | Self::Eof)
    }
}

impl<'w> Window<'w> {
    fn bytes(&self) -> &'w [u8] {
        self.text.as_bytes()
    }
}

/// Finds pairs.
pub(crate) struct Scanner {
    /// Everything before this offset is done with.
    pos: usize,
    /// Its position.
    at: Position,
    state: State,
    limits: Limits,
    pairs: u64,
    /// Where the last pair starts: at its name, or the colon if it has none.
    last: usize,
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

    /// Returns where the scanner is.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// Whether a multi-line value has begun.
    pub(crate) fn is_in_multi(&self) -> bool {
        matches!(self.state, State::Multi { .. })
    }

    /// Returns the offsets of the last pair: from its name to the end of its last line.
    pub(crate) fn last_pair(&self) -> Range<usize> {
        self.last..self.pos
    }

    /// Forgets the text that is done with; returns how many bytes to cut from the window's front.
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

    /// Finds the next pair; `None` at the end of the input.
    pub(crate) fn next_pair(&mut self, w: Window<'_>) -> Result<Option<RawPair>, Stop> {
        loop {
            match self.state {
                State::Outside => {
                    if !self.skip_blanks(w)? {
                        return Ok(None);
                    }
                }
                State::Comment => self.skip_comment(w)?,
                State::Name { scan } => self.name(w, scan)?,
                State::Gap { name_end, scan } => self.gap(w, name_end, scan)?,
                State::Lead { name_end, scan } => {
                    if let Some(pair) = self.lead(w, name_end, scan)? {
                        return Ok(Some(pair));
                    }
                }
                State::Simple { name_end, value } => {
                    return self.simple(w, name_end, value).map(Some);
                }
                State::Multi { name_end, value } => {
                    return self.multi(w, name_end, value).map(Some);
                }
            }
        }
    }

    /// Skips spaces and newlines up to a name or a comment; false at the end of the input.
    fn skip_blanks(&mut self, w: Window<'_>) -> Result<bool, Stop> {
        let bytes = w.bytes();
        loop {
            match self.peek(w, self.pos, Part::Manifest)? {
                Peek::Byte(b' ' | b'\t') => {
                    self.pos += 1;
                    self.at = self.at.right(1);
                }
                Peek::Byte(b'\n' | b'\r') => {
                    self.pos = newline_end(bytes, self.pos);
                    self.at = self.at.down(1);
                }
                Peek::Byte(b'#') => {
                    self.state = State::Comment;
                    return Ok(true);
                }
                Peek::Eof => return Ok(false),
                Peek::Byte(_) | Peek::Late => {
                    self.state = State::Name { scan: self.pos };
                    return Ok(true);
                }
            }
        }
    }

    fn skip_comment(&mut self, w: Window<'_>) -> Result<(), Stop> {
        let bytes = w.bytes();
        if let Some(length) = memchr2(b'\n', b'\r', &bytes[self.pos..]) {
            self.pos = newline_end(bytes, self.pos + length);
            self.at = self.at.down(1);
        } else {
            self.at = self.at.right(count(&w.text[self.pos..]));
            self.pos = bytes.len();
            self.at_end(w, Part::Manifest)?;
        }
        self.state = State::Outside;
        Ok(())
    }

    fn name(&mut self, w: Window<'_>, mut scan: usize) -> Result<(), Stop> {
        let bytes = w.bytes();
        while let Some(byte) = bytes.get(scan)
            && !matches!(byte, b':' | b' ' | b'\t' | b'\n' | b'\r')
        {
            scan += 1;
        }
        self.state = State::Name { scan };
        check(Limit::Name, self.limits.name, scan - self.pos, self.at)?;
        if scan == bytes.len() {
            self.at_end(w, Part::ManifestName)?;
        }
        self.state = State::Gap { name_end: scan, scan };
        Ok(())
    }

    fn gap(&mut self, w: Window<'_>, name_end: usize, mut scan: usize) -> Result<(), Stop> {
        scan = skip_spaces(w.bytes(), scan);
        self.state = State::Gap { name_end, scan };
        self.check_spaces(w, name_end, scan - name_end)?;
        if self.peek(w, scan, Part::Manifest)? != Peek::Byte(b':') {
            return Err(self.fail(w, scan, ErrorKind::ColonExpected));
        }
        self.state = State::Lead { name_end, scan: scan + 1 };
        Ok(())
    }

    /// Decides on the form of the value; returns the pair if the value is empty.
    fn lead(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        mut scan: usize,
    ) -> Result<Option<RawPair>, Stop> {
        let bytes = w.bytes();
        scan = skip_spaces(bytes, scan);
        self.state = State::Lead { name_end, scan };
        self.check_spaces(w, name_end, scan - name_end - 1)?;
        let next_line = match self.peek(w, scan, Part::Manifest)? {
            Peek::Byte(b'\\') => scan,
            Peek::Byte(b'\n' | b'\r') => newline_end(bytes, scan),
            Peek::Eof => return self.empty(w, name_end, scan).map(Some),
            _ => return Ok(self.begin_simple(name_end, scan)),
        };
        let introduced = self.peek(w, next_line, Part::ManifestValue)? == Peek::Byte(b'\\')
            && self.peek(w, next_line + 1, Part::ManifestValue)?.is_line_end();
        if introduced {
            let mark_end = next_line + 1;
            let start =
                if mark_end < bytes.len() { newline_end(bytes, mark_end) } else { mark_end };
            let lead_lines = count_newlines(&bytes[scan..start]);
            let value = MultiValue { start, scan: start, lead_lines, broken: false };
            self.state = State::Multi { name_end, value };
            Ok(None)
        } else if next_line == scan {
            Ok(self.begin_simple(name_end, scan))
        } else {
            self.empty(w, name_end, scan).map(Some)
        }
    }

    fn begin_simple(&mut self, name_end: usize, start: usize) -> Option<RawPair> {
        let value =
            SimpleValue { start, line: start, scan: start, lines: 0, broken: false, fresh: false };
        self.state = State::Simple { name_end, value };
        None
    }

    /// Returns the pair of an empty value that stands at `offset`, before a newline or the end.
    fn empty(&mut self, w: Window<'_>, name_end: usize, offset: usize) -> Result<RawPair, Stop> {
        self.finish_simple(w, name_end, offset..offset, Form::Plain, 0)
    }

    fn simple(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        mut value: SimpleValue,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        loop {
            if value.fresh && self.lone_backslash(w, value.line)? {
                // Stands for a newline; the line after it is data whatever it is.
                value.line = (value.line + 1).min(bytes.len());
                if value.line < bytes.len() {
                    value.line = newline_end(bytes, value.line);
                    value.lines += 1;
                }
                value.scan = value.line;
            }
            value.fresh = false;
            let found = memchr2(b'\n', b'\r', &bytes[value.scan..]);
            let line_end = found.map_or(bytes.len(), |length| value.scan + length);
            let so_far = line_end - value.start;
            if found.is_none() {
                value.scan = line_end;
                self.state = State::Simple { name_end, value };
                let at = self.value_at(w, name_end, value.start);
                check(Limit::Value, self.limits.value, so_far, at)?;
                self.at_end(w, Part::ManifestValue)?;
            }
            let content = &bytes[value.line..line_end];
            let backslash = content.last() == Some(&b'\\');
            let continued = backslash && !content.ends_with(b"\\\\");
            if continued && found.is_some() {
                value.broken = true;
                value.line = newline_end(bytes, line_end);
                value.scan = value.line;
                value.lines += 1;
                value.fresh = true;
                self.state = State::Simple { name_end, value };
                continue;
            }
            let form = if value.broken { Form::Simple } else { Form::Plain };
            return self.finish_simple(w, name_end, value.start..line_end, form, value.lines);
        }
    }

    /// Whether the line at `offset` is a backslash and nothing else.
    fn lone_backslash(&self, w: Window<'_>, offset: usize) -> Result<bool, Stop> {
        Ok(self.peek(w, offset, Part::ManifestValue)? == Peek::Byte(b'\\')
            && self.peek(w, offset + 1, Part::ManifestValue)?.is_line_end())
    }

    fn finish_simple(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        mut value: Range<usize>,
        form: Form,
        lines: u64,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        let value_at = self.value_at(w, name_end, value.start);
        check(Limit::Value, self.limits.value, value.len(), value_at)?;
        let (end, at) = if value.end < bytes.len() {
            (newline_end(bytes, value.end), self.at.down(lines + 1))
        } else if lines == 0 {
            (value.end, value_at.right(count(&w.text[value.clone()])))
        } else {
            (value.end, value_at.after(&w.text[value.clone()]))
        };
        if form == Form::Plain {
            // The last backslash of a line goes; the value is still one piece of the text.
            if bytes[value.clone()].last() == Some(&b'\\') {
                value.end -= 1;
            }
            while value.end > value.start && matches!(bytes[value.end - 1], b' ' | b'\t') {
                value.end -= 1;
            }
        }
        self.finish(
            RawPair { name: self.pos..name_end, name_at: self.at, value, form, value_at },
            end,
            at,
        )
    }

    fn multi(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        mut value: MultiValue,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        let mark = loop {
            let Some(length) = memchr2(b'\\', b'\r', &bytes[value.scan..]) else {
                value.scan = bytes.len();
                self.wait_multi(w, name_end, value)?;
                break None;
            };
            let found = value.scan + length;
            if bytes[found] == b'\r' {
                value.broken = true;
                value.scan = newline_end(bytes, found);
                continue;
            }
            let run = bytes[found..].iter().take_while(|&&b| b == b'\\').count();
            let run_end = found + run;
            if run_end == bytes.len() {
                value.scan = run_end - 1;
                self.wait_multi(w, name_end, value)?;
            }
            value.scan = run_end;
            if self.peek(w, run_end, Part::ManifestValue)?.is_line_end() {
                let starts_line = found == value.start || matches!(bytes[found - 1], b'\n' | b'\r');
                if starts_line && run == 1 {
                    break Some(found);
                }
                value.broken = true;
            }
        };
        self.finish_multi(w, name_end, value, mark)
    }

    /// Stops at the end of the window, unless it is the end of the input.
    fn wait_multi(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        value: MultiValue,
    ) -> Result<(), Stop> {
        self.state = State::Multi { name_end, value };
        let at = self.at.down(value.lead_lines);
        check(Limit::Value, self.limits.value, w.text.len() - value.start, at)?;
        self.at_end(w, Part::ManifestValue)
    }

    fn finish_multi(
        &mut self,
        w: Window<'_>,
        name_end: usize,
        value: MultiValue,
        mark: Option<usize>,
    ) -> Result<RawPair, Stop> {
        let bytes = w.bytes();
        let mut text = value.start..mark.unwrap_or(bytes.len());
        let value_at = if value.start < bytes.len() || matches!(bytes.last(), Some(b'\n' | b'\r')) {
            self.at.down(value.lead_lines)
        } else {
            self.at.after(&w.text[self.pos..])
        };
        check(Limit::Value, self.limits.value, text.len(), value_at)?;
        let (end, at) = match mark {
            Some(mark) if mark + 1 < bytes.len() => {
                let lines = count_newlines(&bytes[text.clone()]) + 1;
                (newline_end(bytes, mark + 1), value_at.down(lines))
            }
            _ => (bytes.len(), value_at.after(&w.text[value.start..])),
        };
        let form = if value.broken {
            Form::Multi { ended: mark.is_some() }
        } else {
            if mark.is_some() && text.end > text.start {
                text.end -= 1;
            }
            Form::Plain
        };
        self.finish(
            RawPair { name: self.pos..name_end, name_at: self.at, value: text, form, value_at },
            end,
            at,
        )
    }

    /// Goes on to `end`, which is at `at`, and returns the pair.
    fn finish(&mut self, pair: RawPair, end: usize, at: Position) -> Result<RawPair, Stop> {
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

    /// Checks that the spaces around a colon are not more than a value may be long.
    fn check_spaces(&self, w: Window<'_>, name_end: usize, spaces: usize) -> Result<(), Stop> {
        if spaces as u64 <= self.limits.value {
            return Ok(());
        }
        let at = self.value_at(w, name_end, name_end);
        check(Limit::Value, self.limits.value, spaces, at)
    }

    /// Returns the position of a value that starts at `start` in the line of its name.
    fn value_at(&self, w: Window<'_>, name_end: usize, start: usize) -> Position {
        let name = &w.text[self.pos..name_end];
        // Between the name and the value are only the colon and spaces.
        let between = (start - name_end) as u64;
        self.at.right(count(name) + between)
    }

    /// Looks at the text at `offset`. An encoding error there is one in `part`.
    fn peek(&self, w: Window<'_>, offset: usize, part: Part) -> Result<Peek, Stop> {
        match w.bytes().get(offset) {
            Some(&byte) => Ok(Peek::Byte(byte)),
            None => match w.beyond {
                Beyond::More => Err(Stop::More),
                Beyond::Eof => Ok(Peek::Eof),
                Beyond::Flaw(flaw) if flaw.late => Ok(Peek::Late),
                Beyond::Flaw(flaw) => {
                    Err(self.fail(w, offset, ErrorKind::Encoding { part, source: flaw.error }))
                }
            },
        }
    }

    /// Passes the end of the window only if it is the end of the input.
    fn at_end(&self, w: Window<'_>, part: Part) -> Result<(), Stop> {
        match w.beyond {
            Beyond::More => Err(Stop::More),
            Beyond::Eof => Ok(()),
            Beyond::Flaw(flaw) => {
                let kind = ErrorKind::Encoding { part, source: flaw.error };
                Err(self.fail(w, w.text.len(), kind))
            }
        }
    }

    fn fail(&self, w: Window<'_>, offset: usize, kind: ErrorKind) -> Stop {
        Stop::Fail(Error::at(self.at.after(&w.text[self.pos..offset]), kind))
    }
}

/// Checks that something that stands at `at` is not longer than it may be.
fn check(limit: Limit, maximum: u64, length: usize, at: Position) -> Result<(), Stop> {
    if length as u64 <= maximum {
        return Ok(());
    }
    Err(Error::at(at, ErrorKind::Limit { limit, maximum }).into())
}

fn skip_spaces(bytes: &[u8], mut offset: usize) -> usize {
    while let Some(b' ' | b'\t') = bytes.get(offset) {
        offset += 1;
    }
    offset
}
