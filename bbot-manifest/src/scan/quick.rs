//! The short way through the usual lines: an ASCII name, a colon, a space or none, and a simple
//! value; or a colon.
//!
//! It takes the same lines in the same way as the long way, only not all of them; a test compares
//! the two.

use std::borrow::Cow;

use super::{Scanner, State};
use crate::event::{Event, Pair};
use crate::position::Position;
use crate::survey::Survey;
use crate::usual::usual_name;

/// Such a line, as offsets.
pub(crate) struct Line {
    start: usize,
    end: usize,
    /// The length of the name.
    name: usize,
    /// Where in the line the value starts.
    value: usize,
    at: Position,
}

impl Line {
    /// Returns the pair with its text, which is in `text`.
    #[expect(
        clippy::inline_always,
        reason = "or each event is copied once more, a third more time"
    )]
    #[inline(always)]
    pub(crate) fn resolve(self, text: &str) -> Event<'_> {
        let line = &text[self.start..self.end];
        Event::Pair(Pair {
            name: &line[..self.name],
            value: Cow::Borrowed(&line[self.value..]),
            name_at: self.at,
            value_at: self.at.right(self.value as u64),
        })
    }
}

impl Scanner {
    /// Takes the next pair if it is such a line, and all of it is in the window.
    #[expect(
        clippy::inline_always,
        reason = "or each event is copied once more, a third more time"
    )]
    #[inline(always)]
    pub(crate) fn next_line(&mut self, text: &str, survey: &mut Survey) -> Option<Line> {
        debug_assert!(matches!(self.state, State::Outside), "nothing of the pair has been seen");
        let (start, end) = (self.pos, survey.line_end()?);
        let rest = text.as_bytes().get(start..)?;
        let name = usual_name(rest)?;
        let line = rest.get(..end - start)?;
        let value = name + 1 + usize::from(line.get(name + 1) == Some(&b' '));
        // An empty value may have lines that follow, and so has one that ends with a backslash.
        let (first, last) = (line.get(value)?, line[line.len() - 1]);
        if matches!(first, b' ' | b'\t') || matches!(last, b'\\' | b' ' | b'\t') {
            return None;
        }
        let too_long =
            name as u64 > self.limits.name || (line.len() - name) as u64 > self.limits.value;
        if too_long || self.pairs >= self.limits.pairs {
            return None;
        }
        let at = self.at;
        self.pairs += 1;
        self.last = start;
        self.pos = end + 1;
        self.at = at.down(1);
        survey.pass_line();
        Some(Line { start, end, name, value, at })
    }
}

impl Scanner {
    /// Takes a line that is a colon only, unless the next one could belong to it; returns its
    /// position.
    #[inline]
    pub(crate) fn next_bare_start(&mut self, text: &str, survey: &mut Survey) -> Option<Position> {
        let line = text.as_bytes().get(self.pos..survey.checked())?;
        if !matches!(line, [b':', b'\n', next, ..] if *next != b'\\') {
            return None;
        }
        let at = self.at;
        self.last = self.pos;
        self.pos += 2;
        survey.pass_lines(self.pos);
        self.at = at.down(1);
        Some(at)
    }
}
