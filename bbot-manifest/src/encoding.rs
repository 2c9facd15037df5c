//! The character layer: UTF-8 of graphic code points, tab and newlines.

use std::fmt;
use std::ops::Range;

use crate::block::{self, BLOCK};

/// Why a code point or a sequence of bytes is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodingError {
    /// A byte that cannot stand at its place in a UTF-8 sequence.
    Byte {
        /// Its place in the sequence, from 0.
        index: u8,
        /// The byte.
        byte: u8,
    },
    /// The lead byte of a sequence of five bytes, which UTF-8 does not have.
    FiveBytes,
    /// The lead byte of a sequence of six bytes, which UTF-8 does not have.
    SixBytes,
    /// The input ends within a sequence.
    Truncated,
    /// A well-formed code point that a manifest must not hold.
    Refused(CodePointClass),
}

/// The classes of code points that a manifest must not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodePointClass {
    /// U+FDD0 to U+FDEF, and the last two code points of each plane.
    NonCharacter,
    /// C0 and C1 controls except tab, CR and LF.
    Control,
    /// Invisible format characters, U+FEFF among them.
    Format,
    /// The private-use areas.
    PrivateUse,
    /// Planes 3 and up, except the variation selectors.
    Reserved,
}

impl fmt::Display for CodePointClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NonCharacter => "noncharacter",
            Self::Control => "control",
            Self::Format => "format",
            Self::PrivateUse => "private-use",
            Self::Reserved => "reserved",
        })
    }
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Byte { index, byte } => {
                // "forth" is how the format's other implementations spell it.
                let place = ["first", "second", "third", "forth"][usize::from(index.min(3))];
                write!(f, "invalid UTF-8 sequence {place} byte (0x{byte:02X}")?;
                if (0x20..=0x7e).contains(&byte) {
                    write!(f, " '{}'", char::from(byte))?;
                }
                f.write_str(")")
            }
            Self::FiveBytes => f.write_str("5-byte length UTF-8 sequence"),
            Self::SixBytes => f.write_str("6-byte length UTF-8 sequence"),
            Self::Truncated => f.write_str("unexpected end of stream"),
            Self::Refused(class) => write!(f, "invalid Unicode codepoint ({class})"),
        }
    }
}

impl std::error::Error for EncodingError {}

/// A refused code point, told apart by the byte at which a reader notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// What is wrong.
    pub(crate) error: EncodingError,
    /// The first byte is fine by itself: the flaw shows at a later one.
    pub(crate) late: bool,
}

impl Flaw {
    fn refused(class: CodePointClass, code_point: char) -> Self {
        Self { error: EncodingError::Refused(class), late: !code_point.is_ascii() }
    }
}

/// Splits `bytes` before the first malformed sequence and says what is wrong with that.
pub(crate) fn decode(bytes: &[u8]) -> (&str, Option<Flaw>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(e) => {
            let (valid, rest) = bytes.split_at(e.valid_up_to());
            let text = std::str::from_utf8(valid).unwrap_or_default();
            (text, Some(malformed(rest)))
        }
    }
}

/// Says what is wrong with the malformed sequence that `bytes` start with.
pub(crate) fn malformed(bytes: &[u8]) -> Flaw {
    let lead = bytes.first().copied().unwrap_or_default();
    let (length, second) = match lead {
        0xc2..=0xdf => (2, 0x80..=0xbf),
        0xe0 => (3, 0xa0..=0xbf),
        0xed => (3, 0x80..=0x9f),
        0xe1..=0xef => (3, 0x80..=0xbf),
        0xf0 => (4, 0x90..=0xbf),
        0xf1..=0xf3 => (4, 0x80..=0xbf),
        0xf4 => (4, 0x80..=0x8f),
        0xf8..=0xfb => return Flaw { error: EncodingError::FiveBytes, late: false },
        0xfc..=0xfd => return Flaw { error: EncodingError::SixBytes, late: false },
        _ => return Flaw { error: EncodingError::Byte { index: 0, byte: lead }, late: false },
    };
    for index in 1..length {
        let Some(&byte) = bytes.get(usize::from(index)) else { break };
        let allowed = if index == 1 { second.clone() } else { 0x80..=0xbf };
        if !allowed.contains(&byte) {
            return Flaw { error: EncodingError::Byte { index, byte }, late: true };
        }
    }
    Flaw { error: EncodingError::Truncated, late: true }
}

/// Finds the first code point that a manifest must not hold, and its offset.
pub(crate) fn find_refused(text: &str) -> Option<(usize, Flaw)> {
    let look = look_through(text, 0..text.len(), |_, _| true);
    look.flaw.map(|flaw| (look.end, flaw))
}

/// What a look through a part of a text has shown.
pub(crate) struct Look {
    /// Everything before here has been looked at, and is fine.
    pub(crate) end: usize,
    /// What is wrong at the end.
    pub(crate) flaw: Option<Flaw>,
    /// Whether there is a CR.
    pub(crate) has_cr: bool,
}

/// Looks for code points that a manifest must not hold, in `part` and a little further.
///
/// `newlines` gets the offsets of blocks, and where in them LFs are. The look ends early when it
/// returns false.
#[inline]
pub(crate) fn look_through(
    text: &str,
    part: Range<usize>,
    mut newlines: impl FnMut(usize, u64) -> bool,
) -> Look {
    let bytes = text.as_bytes();
    let (mut at, mut has_cr, mut more) = (part.start, false, true);
    while more && at < part.end {
        let rest = &bytes[at..];
        let block = match rest.first_chunk::<BLOCK>() {
            Some(bytes) => block::look(bytes),
            None => block::look(&padded(rest)),
        };
        more = newlines(at, block.newlines);
        let block_end = bytes.len().min(at + BLOCK);
        if block.plain {
            at = block_end;
            continue;
        }
        let closely = look_closely(text, at..block_end);
        (at, has_cr) = (closely.end, has_cr | closely.has_cr);
        if closely.flaw.is_some() {
            return Look { has_cr, ..closely };
        }
    }
    Look { end: at, flaw: None, has_cr }
}

/// Returns what is left of a text as a block.
fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// Looks at each code point that starts in `part`.
fn look_closely(text: &str, part: Range<usize>) -> Look {
    let mut look = Look { end: part.start, flaw: None, has_cr: false };
    for c in text[part.start..].chars() {
        if look.end >= part.end {
            break;
        }
        if let Some(class) = classify(c) {
            look.flaw = Some(Flaw::refused(class, c));
            break;
        }
        look.has_cr |= c == '\r';
        look.end += c.len_utf8();
    }
    look
}

/// Returns why `c` is refused, if it is.
fn classify(c: char) -> Option<CodePointClass> {
    let code = u32::from(c);
    // The order of the tests decides which word a code point of two classes gets.
    match code {
        0x20..=0x7e | 0x09 | 0x0a | 0x0d => None,
        _ if code & 0xfffe == 0xfffe => Some(CodePointClass::NonCharacter),
        0x00..=0x1f | 0x7f..=0x9f => Some(CodePointClass::Control),
        0xad
        | 0x600..=0x605
        | 0x61c
        | 0x6dd
        | 0x70f
        | 0x8e2
        | 0x180e
        | 0x200b..=0x200f
        | 0x202a..=0x202e
        | 0x2060..=0x2064
        | 0x2066..=0x206f
        | 0xfeff
        | 0xfff9..=0xfffb
        | 0x110bd
        | 0x110cd
        | 0x13430..=0x13438
        | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a
        | 0xe0001
        | 0xe0020..=0xe007f => Some(CodePointClass::Format),
        0xe000..=0xf8ff | 0xf_0000..=0x10_ffff => Some(CodePointClass::PrivateUse),
        0xfdd0..=0xfdef => Some(CodePointClass::NonCharacter),
        0xe0100..=0xe01ef => None,
        0x30000.. => Some(CodePointClass::Reserved),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u32, expected: Option<CodePointClass>) {
        assert_eq!(classify(char::from_u32(code).unwrap()), expected, "U+{code:04X}");
    }

    #[test]
    fn code_points_have_the_class_of_the_table() {
        use CodePointClass as C;
        for code in [0x09, 0x0a, 0x0d, 0x20, 0x7e, 0xa0, 0x2028, 0x2065, 0xfffd, 0x2ffff - 2] {
            check(code, None);
        }
        for code in [0xfffe, 0x1ffff, 0x3fffe, 0x10_ffff, 0xfdd0, 0xe_ffff] {
            check(code, Some(C::NonCharacter));
        }
        for code in [0, 0x0b, 0x1b, 0x7f, 0x85, 0x9f] {
            check(code, Some(C::Control));
        }
        for code in [0xad, 0x200d, 0xfeff, 0xe0001, 0xe007f, 0x1d173] {
            check(code, Some(C::Format));
        }
        for code in [0xe000, 0xf8ff, 0xf_0000, 0x10_fffd] {
            check(code, Some(C::PrivateUse));
        }
        for code in [0x30000, 0xe0000, 0xe0002, 0xe001f, 0xe0080, 0xe00ff, 0xe01f0] {
            check(code, Some(C::Reserved));
        }
        check(0xe0100, None);
    }

    #[test]
    fn a_refused_code_point_is_found_at_every_offset() {
        for at in 0..200 {
            let text = format!("{}\u{7}{}", "\u{e9}x".repeat(at), "y".repeat(70));
            assert_eq!(find_refused(&text).map(|(offset, _)| offset), Some(at * 3));
        }
        assert_eq!(find_refused(&"\u{e9}x\t\r\n".repeat(100)), None);
    }
}
