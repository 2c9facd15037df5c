//! Numbers in standard and semantic versions.

use std::ops::RangeInclusive;

/// A text from which numbers and punctuation are taken.
///
/// Numbers are those that the C function `strtoull` accepts, by which the C++ implementation reads
/// them: white space may precede, and then a sign. Only a sign as the first character is refused.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) rest: &'a str,
}

impl Cursor<'_> {
    /// Takes `c` if it comes next.
    pub(crate) fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a number in `range`, if one comes next.
    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> Option<u64> {
        if self.rest.starts_with(['+', '-']) {
            return None;
        }
        let unsigned = self.rest.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
        let (negative, digits) = match unsigned.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, unsigned.strip_prefix('+').unwrap_or(unsigned)),
        };
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = digits.split_at(length);
        let number: u64 = digits.parse().ok()?;
        let number = if negative { number.wrapping_neg() } else { number };
        if !range.contains(&number) {
            return None;
        }
        self.rest = rest;
        Some(number)
    }
}
