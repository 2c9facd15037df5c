//! Base64, for binary data in values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text is not base64 in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("base64 expected")]
#[non_exhaustive]
pub struct Base64Error;

/// The characters of a line.
const LINE: usize = 76;

/// Encodes bytes as base64 in lines of 76 characters, without a newline after the last one.
///
/// ```
/// assert_eq!(bbot_manifest::text::encode_base64(b"bbot"), "YmJvdA==");
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

/// Decodes base64, in which LFs may stand between groups of four characters.
///
/// # Errors
///
/// The text is something else.
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
