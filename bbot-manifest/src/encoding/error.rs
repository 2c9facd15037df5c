//! What is wrong with a code point or a sequence of bytes.

use crate::encoding::class::CodePointClass;

/// Why a code point or a sequence of bytes is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// A byte that cannot stand at its place in a UTF-8 sequence.
    #[error("invalid UTF-8 sequence {} byte (0x{byte:02X}{})", place(*index), printable(*byte))]
    Byte {
        /// Its place in the sequence, from 0.
        index: u8,
        /// The byte.
        byte: u8,
    },
    /// The lead byte of a sequence of five bytes, which UTF-8 does not have.
    #[error("5-byte length UTF-8 sequence")]
    FiveBytes,
    /// The lead byte of a sequence of six bytes, which UTF-8 does not have.
    #[error("6-byte length UTF-8 sequence")]
    SixBytes,
    /// The input ends within a sequence.
    #[error("unexpected end of stream")]
    Truncated,
    /// A well-formed code point that a manifest must not hold.
    #[error("invalid Unicode codepoint ({0})")]
    Refused(CodePointClass),
}

/// Returns the word for the place of a byte in a sequence.
fn place(index: u8) -> &'static str {
    // "forth" is how the C++ implementation spells it, whose messages these are.
    ["first", "second", "third", "forth"][usize::from(index.min(3))]
}

/// Returns the character of a byte in quotes, with a space before, if it is printable ASCII.
fn printable(byte: u8) -> String {
    if (0x20..=0x7e).contains(&byte) { format!(" '{}'", char::from(byte)) } else { String::new() }
}

/// A malformed sequence or a refused code point, as a parser meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidCodePoint {
    /// What is wrong.
    pub(crate) error: EncodingError,
    /// The first byte is valid by itself: a reader of single bytes sees the error at a later one.
    pub(crate) after_first_byte: bool,
}

impl InvalidCodePoint {
    /// Returns the error that a well-formed code point is refused.
    pub(crate) fn refused(class: CodePointClass, code_point: char) -> Self {
        Self { error: EncodingError::Refused(class), after_first_byte: !code_point.is_ascii() }
    }
}
