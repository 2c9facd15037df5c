//! Binary data in a value.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text is not base64 as the protocol has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base64Error;

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 expected")
    }
}

impl std::error::Error for Base64Error {}

/// Characters of a line.
const LINE: usize = 76;

/// Encodes bytes as lines of base64, without a newline after the last one.
///
/// ```
/// assert_eq!(bbot_manifest::encode_base64(b"bbot"), "YmJvdA==");
/// ```
pub fn encode_base64(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let mut text = String::with_capacity(encoded.len() + encoded.len() / LINE);
    let mut rest = encoded.as_str();
    while rest.len() > LINE {
        let (line, next) = rest.split_at(LINE);
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    text.push_str(rest);
    text
}

/// Decodes lines of base64; LF may stand between groups of four characters, nothing else.
///
/// # Errors
///
/// The text is not that.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, Base64Error> {
    let mut joined = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'\n' if joined.len().is_multiple_of(4) => {}
            _ => joined.push(byte),
        }
    }
    STANDARD.decode(joined).map_err(|_| Base64Error)
}
