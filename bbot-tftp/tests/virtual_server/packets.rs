//! Packets of a client, written without the code that is tested.

use bbot_tftp::ErrorCode;

/// An ACK.
pub(crate) fn ack(block: u16) -> Vec<u8> {
    [&[0, 4][..], &block.to_be_bytes()].concat()
}

/// A DATA packet.
pub(crate) fn data(block: u16, payload: &[u8]) -> Vec<u8> {
    [&[0, 3][..], &block.to_be_bytes(), payload].concat()
}

/// The bytes of an ERROR before its message.
pub(crate) fn error(code: ErrorCode) -> Vec<u8> {
    [&[0, 5][..], &code.0.to_be_bytes()].concat()
}
