//! Searches text for code points that a manifest must not hold.

use std::ops::Range;

use crate::encoding::block::{self, BLOCK};
use crate::encoding::class::classify;
use crate::encoding::error::InvalidCodePoint;

/// Returns the first code point that a manifest must not hold, and its offset.
pub(crate) fn first_refused(text: &str) -> Option<(usize, InvalidCodePoint)> {
    let checked = check(text, 0..text.len(), |_, _| true);
    checked.invalid.map(|invalid| (checked.end, invalid))
}

/// The result of checking a part of a text.
pub(crate) struct Checked {
    /// Everything before this offset has been checked, and is valid.
    pub(crate) end: usize,
    /// What is wrong at the end.
    pub(crate) invalid: Option<InvalidCodePoint>,
    /// Whether there is a CR.
    pub(crate) has_cr: bool,
}

/// Checks `part`, up to the end of the block that it ends in, for refused code points.
///
/// `newlines` is called with the offset of each block and the places of LFs in it, and ends the
/// check after that block by returning false.
#[inline]
pub(crate) fn check(
    text: &str,
    part: Range<usize>,
    mut newlines: impl FnMut(usize, u64) -> bool,
) -> Checked {
    let bytes = text.as_bytes();
    let (mut at, mut has_cr, mut more) = (part.start, false, true);
    while more && at < part.end {
        let rest = &bytes[at..];
        let block = match rest.first_chunk::<BLOCK>() {
            Some(bytes) => block::scan(bytes),
            None => block::scan(&padded(rest)),
        };
        more = newlines(at, block.newlines);
        let block_end = bytes.len().min(at + BLOCK);
        if block.plain {
            at = block_end;
            continue;
        }
        let checked = check_code_points(text, at..block_end);
        (at, has_cr) = (checked.end, has_cr | checked.has_cr);
        if checked.invalid.is_some() {
            return Checked { has_cr, ..checked };
        }
    }
    Checked { end: at, invalid: None, has_cr }
}

/// Returns the last bytes of a text as a block, filled up with spaces.
fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// Checks each code point that starts in `part`.
fn check_code_points(text: &str, part: Range<usize>) -> Checked {
    let mut checked = Checked { end: part.start, invalid: None, has_cr: false };
    for c in text[part.start..].chars() {
        if checked.end >= part.end {
            break;
        }
        if let Some(class) = classify(c) {
            checked.invalid = Some(InvalidCodePoint::refused(class, c));
            break;
        }
        checked.has_cr |= c == '\r';
        checked.end += c.len_utf8();
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_code_point_is_found_at_every_offset() {
        for at in 0..200 {
            let text = format!("{}\u{7}{}", "\u{e9}x".repeat(at), "y".repeat(70));
            assert_eq!(first_refused(&text).map(|(offset, _)| offset), Some(at * 3));
        }
        assert_eq!(first_refused(&"\u{e9}x\t\r\n".repeat(100)), None);
    }
}
