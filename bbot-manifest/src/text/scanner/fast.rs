//! The fast path: the lines that most manifests consist of, recognized as a whole (`paths.rs`).

use std::borrow::Cow;

use crate::position::Position;
use crate::text::ascii::ascii_name_length;
use crate::text::event::{Event, Pair};
use crate::text::scanner::state::{Scanner, State};
use crate::text::validated::Validated;

/// A line that is a pair, as offsets into the window.
pub(crate) struct Line {
    start: usize,
    end: usize,
    /// The length of the name.
    name: usize,
    /// The offset of the value in the line.
    value: usize,
    at: Position,
}

impl Line {
    /// Returns the pair with its text, which is in `text`.
    #[expect(
        clippy::inline_always,
        reason = "otherwise each event is copied once more, which takes a third more time"
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
    /// Takes the next pair if it is a line of the fast path, and all of it is validated.
    #[expect(
        clippy::inline_always,
        reason = "otherwise each event is copied once more, which takes a third more time"
    )]
    #[inline(always)]
    pub(crate) fn next_line(&mut self, text: &str, validated: &mut Validated) -> Option<Line> {
        debug_assert!(matches!(self.state, State::Outside), "no part of the pair has been scanned");
        let (start, end) = (self.pos, validated.line_end()?);
        let rest = text.as_bytes().get(start..)?;
        let name = ascii_name_length(rest)?;
        let line = rest.get(..end - start)?;
        let value = name + 1 + usize::from(line.get(name + 1) == Some(&b' '));
        // An empty value can go on in the next line, and so can one that ends with a backslash.
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
        validated.take_line();
        Some(Line { start, end, name, value, at })
    }

    /// Takes a line that is only a colon, unless the next line can be part of its value; returns
    /// its position.
    #[inline]
    pub(crate) fn next_bare_start(
        &mut self,
        text: &str,
        validated: &mut Validated,
    ) -> Option<Position> {
        let line = text.as_bytes().get(self.pos..validated.length())?;
        if !matches!(line, [b':', b'\n', next, ..] if *next != b'\\') {
            return None;
        }
        let at = self.at;
        self.last = self.pos;
        self.pos += 2;
        validated.take_lines(self.pos);
        self.at = at.down(1);
        Some(at)
    }
}
