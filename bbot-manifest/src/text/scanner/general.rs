//! The general path: all that the grammar allows, up to the value.
//!
//! It is a state machine that stops where the window ends and goes on there when it is called with
//! a longer one. So one scanner serves the parser of input in memory, whose window grows as the
//! input is validated, and the parser of a stream, whose window grows as the input is read.

use memchr::memchr2;

use crate::error::{ErrorKind, Part};
use crate::limits::Limit;
use crate::position::{count, count_newlines, newline_end};
use crate::text::scanner::state::{MultiValue, Peek, RawPair, Scanner, State, Stop, check};
use crate::text::window::Window;

impl Scanner {
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

    /// Skips spaces and newlines up to a name or a comment; returns false at the end of the input.
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
                Peek::Byte(_) | Peek::InvalidLater => {
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

    /// Finds the form of the value; returns the pair if the value is empty.
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
}

/// Returns the offset of the first byte from `offset` on that is neither space nor tab.
fn skip_spaces(bytes: &[u8], mut offset: usize) -> usize {
    while let Some(b' ' | b'\t') = bytes.get(offset) {
        offset += 1;
    }
    offset
}
