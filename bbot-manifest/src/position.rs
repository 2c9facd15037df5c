//! Positions in a text.

use std::fmt;

/// A line and a column, both from 1. Columns count code points; a tab is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1. A newline belongs to the line that it ends.
    pub line: u64,
    /// The code point in the line, from 1.
    pub column: u64,
}

impl Position {
    /// The first code point of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    /// Returns the position after `text`, which starts at this one.
    pub(crate) fn after(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        match memchr::memrchr2(b'\n', b'\r', bytes) {
            None => self.right(count(text)),
            Some(newline) => Self {
                line: self.line + count_newlines(bytes),
                column: 1 + count(&text[newline + 1..]),
            },
        }
    }

    /// Returns the position `columns` to the right.
    #[inline]
    pub(crate) fn right(self, columns: u64) -> Self {
        Self { column: self.column + columns, ..self }
    }

    /// Returns the beginning of the line `lines` below.
    #[inline]
    pub(crate) fn down(self, lines: u64) -> Self {
        Self { line: self.line + lines, column: 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Returns the number of code points of `text`.
#[inline]
pub(crate) fn count(text: &str) -> u64 {
    // Most texts are names, which are short and ASCII.
    let short_ascii = text.len() < 64 && text.is_ascii();
    if short_ascii { text.len() as u64 } else { text.chars().count() as u64 }
}

/// Returns the number of logical newlines: each an LF, or a run of CRs with the LF that may follow.
pub(crate) fn count_newlines(bytes: &[u8]) -> u64 {
    let mut lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
    for cr in memchr::memchr_iter(b'\r', bytes) {
        // A CR before another CR or an LF is part of the newline that ends there.
        if !matches!(bytes.get(cr + 1), Some(b'\r' | b'\n')) {
            lines += 1;
        }
    }
    lines
}

/// Returns the offset after the logical newline at `offset`.
pub(crate) fn newline_end(bytes: &[u8], offset: usize) -> usize {
    if bytes[offset] == b'\n' {
        return offset + 1;
    }
    let run = bytes[offset..].iter().take_while(|&&b| b == b'\r').count();
    let end = offset + run;
    if bytes.get(end) == Some(&b'\n') { end + 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_crs_is_one_newline() {
        assert_eq!(count_newlines(b"a\r\nb\rc\r\r\r\nd\n\re"), 5);
        assert_eq!(Position::START.after("a\r\r\n\u{e9}b"), Position { line: 2, column: 3 });
        assert_eq!(Position::START.after("\u{e9}b"), Position { line: 1, column: 3 });
    }
}
