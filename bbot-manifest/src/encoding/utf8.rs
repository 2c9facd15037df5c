//! Well-formed UTF-8, and what is wrong with other bytes.

use crate::encoding::error::{EncodingError, InvalidCodePoint};

/// Returns the text up to the first malformed sequence, and what is wrong with that.
pub(crate) fn decode(bytes: &[u8]) -> (&str, Option<InvalidCodePoint>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(e) => {
            let (valid, rest) = bytes.split_at(e.valid_up_to());
            let text = std::str::from_utf8(valid).unwrap_or_default();
            (text, Some(malformed(rest)))
        }
    }
}

/// Returns what is wrong with the malformed sequence at the beginning of `bytes`.
pub(crate) fn malformed(bytes: &[u8]) -> InvalidCodePoint {
    let lead = bytes.first().copied().unwrap_or_default();
    let (length, second) = match lead {
        0xc2..=0xdf => (2, 0x80..=0xbf),
        0xe0 => (3, 0xa0..=0xbf),
        0xed => (3, 0x80..=0x9f),
        0xe1..=0xef => (3, 0x80..=0xbf),
        0xf0 => (4, 0x90..=0xbf),
        0xf1..=0xf3 => (4, 0x80..=0xbf),
        0xf4 => (4, 0x80..=0x8f),
        0xf8..=0xfb => {
            return InvalidCodePoint { error: EncodingError::FiveBytes, after_first_byte: false };
        }
        0xfc..=0xfd => {
            return InvalidCodePoint { error: EncodingError::SixBytes, after_first_byte: false };
        }
        _ => {
            return InvalidCodePoint {
                error: EncodingError::Byte { index: 0, byte: lead },
                after_first_byte: false,
            };
        }
    };
    for index in 1..length {
        let Some(&byte) = bytes.get(usize::from(index)) else { break };
        let allowed = if index == 1 { second.clone() } else { 0x80..=0xbf };
        if !allowed.contains(&byte) {
            return InvalidCodePoint {
                error: EncodingError::Byte { index, byte },
                after_first_byte: true,
            };
        }
    }
    InvalidCodePoint { error: EncodingError::Truncated, after_first_byte: true }
}
