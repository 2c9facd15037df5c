//! The short way through the usual lines: an ASCII name, a colon, and a simple value; or a colon.
//!
//! It takes the same lines in the same way as the long way, only not all of them; a test compares
//! the two.

use std::borrow::Cow;

use memchr::memchr2;

use super::{Scanner, State};
use crate::event::{Event, Pair};
use crate::position::Position;

/// Such a line, as offsets.
pub(crate) struct Line {
    name: usize,
    name_end: usize,
    value: usize,
    value_end: usize,
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
        Event::Pair(Pair {
            name: &text[self.name..self.name_end],
            value: Cow::Borrowed(&text[self.value..self.value_end]),
            name_at: self.at,
            value_at: self.at.right((self.value - self.name) as u64),
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
    pub(crate) fn next_line(&mut self, text: &str) -> Option<Line> {
        if !matches!(self.state, State::Outside) {
            return None;
        }
        let bytes = text.as_bytes();
        let name = self.pos;
        let name_end = name + usual_name(bytes.get(name..)?)?;
        let mut value = name_end + 1;
        while let Some(b' ' | b'\t') = bytes.get(value) {
            value += 1;
        }
        let newline = value + memchr2(b'\n', b'\r', bytes.get(value..)?)?;
        // An empty value may have lines that follow, and so has one that ends with a backslash.
        if newline == value || bytes[newline - 1] == b'\\' || bytes[newline] == b'\r' {
            return None;
        }
        let too_long = (name_end - name) as u64 > self.limits.name
            || (newline - name_end) as u64 > self.limits.value;
        if too_long || self.pairs >= self.limits.pairs {
            return None;
        }
        let mut value_end = newline;
        while matches!(bytes[value_end - 1], b' ' | b'\t') {
            value_end -= 1;
        }
        let at = self.at;
        self.pairs += 1;
        self.last = name;
        self.pos = newline + 1;
        self.at = at.down(1);
        Some(Line { name, name_end, value, value_end, at })
    }
}

impl Scanner {
    /// Takes a line that is a colon only, unless the next one could belong to it; returns its
    /// position.
    #[inline]
    pub(crate) fn next_bare_start(&mut self, text: &str) -> Option<Position> {
        let line = text.as_bytes().get(self.pos..)?;
        if !matches!(self.state, State::Outside)
            || !matches!(line, [b':', b'\n', next, ..] if *next != b'\\')
        {
            return None;
        }
        let at = self.at;
        self.last = self.pos;
        self.pos += 2;
        self.at = at.down(1);
        Some(at)
    }
}

/// Returns the length of the name that a line starts with, if a colon follows at once.
///
/// Most names have less than eight characters: those are looked at together, not one by one.
#[inline]
fn usual_name(bytes: &[u8]) -> Option<usize> {
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    let colon = first_zero(word ^ each(b':'));
    let name = match 1_u64.checked_shl(8 * colon) {
        Some(end) => word & (end - 1) | each(b'x') & !(end - 1),
        None => word,
    };
    // A byte that is less than the first graphic one leaves its high bit set.
    if (name | name.wrapping_sub(each(b'!'))) & each(0x80) != 0 || matches!(bytes[0], b'#' | b':') {
        return None;
    }
    let mut length = colon as usize;
    if length == 8 {
        length += bytes[8..].iter().position(|&byte| !IN_NAME[usize::from(byte)])?;
    }
    (bytes[length] == b':').then_some(length)
}

/// Returns a word with the byte at each place.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Returns the place of the first byte that is 0; 8 if none is.
#[inline]
fn first_zero(word: u64) -> u32 {
    let zeros = word.wrapping_sub(each(1)) & !word & each(0x80);
    zeros.trailing_zeros() / 8
}

/// Graphic ASCII except the colon.
static IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = byte != b':';
        byte += 1;
    }
    table
};
