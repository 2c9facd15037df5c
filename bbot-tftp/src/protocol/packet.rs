//! The packets of TFTP (RFC 1350 section 5, RFC 2347), as bytes and as values.

use std::fmt;

/// The length of the header of a DATA or ACK packet, in bytes.
pub(crate) const HEADER: usize = 4;
/// The maximum length of the strings of a request, in bytes. RFC 2347 allows requests of 512 bytes;
/// some firmware sends longer ones.
pub const MAX_REQUEST: usize = 2048;
/// The maximum length of a TFTP packet, in bytes: DATA with the largest block size of RFC 2348.
pub(crate) const MAX_DATAGRAM: usize = 65464 + HEADER;

/// The direction of a transfer, as the client names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A read request: the server sends the file.
    Get,
    /// A write request: the client sends the file.
    Put,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::Put => "put",
        })
    }
}

/// The error code of an ERROR packet. Codes that no RFC defines are preserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// Not defined; the message describes the error.
    pub const UNDEFINED: Self = Self(0);
    /// File not found.
    pub const NOT_FOUND: Self = Self(1);
    /// Access violation.
    pub const ACCESS: Self = Self(2);
    /// Disk full or quota exceeded.
    pub const DISK_FULL: Self = Self(3);
    /// Illegal TFTP operation.
    pub const ILLEGAL: Self = Self(4);
    /// Unknown transfer ID.
    pub const UNKNOWN_TID: Self = Self(5);
    /// File already exists.
    pub const EXISTS: Self = Self(6);
    /// No such user.
    pub const NO_USER: Self = Self(7);
    /// Option refused.
    pub const OPTION: Self = Self(8);
}

/// The names and the values of options, as they are in a packet.
pub type OptionPairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A read request (RRQ) or a write request (WRQ), with its strings as they are in the packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request<'a> {
    /// Whether the file is read or written.
    pub direction: Direction,
    /// The file's name, without its NUL; not empty.
    pub name: &'a [u8],
    /// The transfer mode, without its NUL; compare it with [`is_octet`](Self::is_octet).
    pub mode: &'a [u8],
    /// The options, in their order.
    pub options: OptionPairs<'a>,
}

impl Request<'_> {
    /// Returns whether the mode is `octet`, in upper or lower case.
    pub fn is_octet(&self) -> bool {
        self.mode.eq_ignore_ascii_case(b"octet")
    }
}

/// A TFTP packet: the content of one datagram.
///
/// ```
/// use bbot_tftp::Packet;
/// let packet = Packet::decode(&[0, 3, 0, 7, b'h', b'i']).unwrap();
/// assert_eq!(packet, Packet::Data { block: 7, payload: b"hi" });
/// let mut bytes = Vec::new();
/// packet.encode(&mut bytes);
/// assert_eq!(bytes, [0, 3, 0, 7, b'h', b'i']);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Packet<'a> {
    /// RRQ or WRQ.
    Request(Request<'a>),
    /// A block of the file.
    Data {
        /// The block's number, as it is on the wire (see [`Rollover`](crate::Rollover)).
        block: u16,
        /// The block's bytes.
        payload: &'a [u8],
    },
    /// An acknowledgement.
    Ack {
        /// The last block that arrived in order.
        block: u16,
    },
    /// The end of a transfer that failed.
    Error {
        /// The error code.
        code: ErrorCode,
        /// The text, without its NUL.
        message: &'a [u8],
    },
    /// OACK: the options that a server grants (RFC 2347).
    OptionAck(OptionPairs<'a>),
}

/// Why a datagram is not a TFTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The datagram is shorter than a packet of its kind.
    #[error("truncated packet")]
    Truncated,
    /// The first two bytes are not the opcode of a packet.
    #[error("unknown opcode {0}")]
    UnknownOpcode(u16),
    /// The name or the mode of a request has no NUL.
    #[error("string without end")]
    Unterminated,
    /// The file name of a request is empty.
    #[error("empty file name")]
    EmptyName,
    /// The datagram is longer than a packet of its kind may be.
    #[error("packet too long")]
    TooLong,
}

impl<'a> Packet<'a> {
    /// Parses the content of a datagram.
    ///
    /// # Errors
    /// The datagram is not a complete and well-formed packet.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (opcode, body) = take_u16(bytes)?;
        match opcode {
            1 => decode_request(Direction::Get, body).map(Packet::Request),
            2 => decode_request(Direction::Put, body).map(Packet::Request),
            3 => take_u16(body).map(|(block, payload)| Packet::Data { block, payload }),
            // Some clients pad their ACKs: the bytes after the number are ignored.
            4 => take_u16(body).map(|(block, _)| Packet::Ack { block }),
            5 => {
                let (code, text) = take_u16(body)?;
                // Some firmware omits the final NUL; the text is only for a log.
                let message = text.split(|b| *b == 0).next().unwrap_or_default();
                Ok(Packet::Error { code: ErrorCode(code), message })
            }
            6 if body.len() > MAX_REQUEST => Err(DecodeError::TooLong),
            6 => Ok(Self::OptionAck(decode_options(body))),
            other => Err(DecodeError::UnknownOpcode(other)),
        }
    }

    /// Appends the packet's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request(request) => {
                let opcode = match request.direction {
                    Direction::Get => 1,
                    Direction::Put => 2,
                };
                put_u16(out, opcode);
                put_string(out, request.name);
                put_string(out, request.mode);
                put_options(out, &request.options);
            }
            Self::Data { block, payload } => {
                out.extend(data_header(*block));
                out.extend(*payload);
            }
            Self::Ack { block } => {
                put_u16(out, 4);
                put_u16(out, *block);
            }
            Self::Error { code, message } => {
                put_u16(out, 5);
                put_u16(out, code.0);
                put_string(out, message);
            }
            Self::OptionAck(options) => {
                put_u16(out, 6);
                put_options(out, options);
            }
        }
    }
}

/// The header of a DATA packet.
pub(crate) fn data_header(block: u16) -> [u8; HEADER] {
    let [high, low] = block.to_be_bytes();
    [0, 3, high, low]
}

fn decode_request(direction: Direction, body: &[u8]) -> Result<Request<'_>, DecodeError> {
    if body.len() > MAX_REQUEST {
        return Err(DecodeError::TooLong);
    }
    let (name, rest) = take_string(body)?;
    if name.is_empty() {
        return Err(DecodeError::EmptyName);
    }
    let (mode, rest) = take_string(rest)?;
    Ok(Request { direction, name, mode, options: decode_options(rest) })
}

/// An option that has no value, or whose strings do not end, is the last one: it is left out (T4).
fn decode_options(mut rest: &[u8]) -> OptionPairs<'_> {
    let mut options = Vec::new();
    // Some boot loaders pad their requests with NULs.
    while let Ok((name @ [_, ..], after)) = take_string(rest)
        && let Ok((value, after)) = take_string(after)
    {
        options.push((name, value));
        rest = after;
    }
    options
}

fn take_u16(bytes: &[u8]) -> Result<(u16, &[u8]), DecodeError> {
    let (head, rest) = bytes.split_first_chunk::<2>().ok_or(DecodeError::Truncated)?;
    Ok((u16::from_be_bytes(*head), rest))
}

fn take_string(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let end = bytes.iter().position(|b| *b == 0).ok_or(DecodeError::Unterminated)?;
    Ok((&bytes[..end], &bytes[end + 1..]))
}

fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend(value.to_be_bytes());
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend(string);
    out.push(0);
}

fn put_options(out: &mut Vec<u8>, options: &[(&[u8], &[u8])]) {
    for (name, value) in options {
        put_string(out, name);
        put_string(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &Result<Packet<'_>, DecodeError>) {
        let decoded = Packet::decode(bytes);
        assert_eq!(&decoded, expected);
        if let Ok(packet) = decoded {
            let mut again = Vec::new();
            packet.encode(&mut again);
            assert_eq!(Packet::decode(&again), Ok(packet));
        }
    }

    /// T4: a request is an opcode, a name, a mode and pairs of strings, each with its NUL.
    #[test]
    fn requests() {
        let plain = Request {
            direction: Direction::Get,
            name: b"a/b",
            mode: b"OcTeT",
            options: vec![(b"blksize", b"1428")],
        };
        assert!(plain.is_octet());
        check(b"\0\x01a/b\0OcTeT\0blksize\x001428\0", &Ok(Packet::Request(plain.clone())));
        check(b"\0\x01a/b\0OcTeT\0blksize\x001428\0\0\0", &Ok(Packet::Request(plain)));
        let (direction, name, mode) = (Direction::Put, &b"f"[..], &b"octet"[..]);
        let short = Request { direction, name, mode, options: vec![(b"tsize", b"5")] };
        for last in [&b""[..], b"b", b"blksize", b"blksize\0", b"blksize\x001428", b"\0x\0"] {
            let request = [b"\0\x02f\0octet\0tsize\x005\0", last].concat();
            check(&request, &Ok(Packet::Request(short.clone())));
        }
        check(b"\0\x02f\0octet", &Err(DecodeError::Unterminated));
        check(b"\0\x02f", &Err(DecodeError::Unterminated));
        check(b"\0\x02\0octet\0", &Err(DecodeError::EmptyName));
        check(b"\0\x02", &Err(DecodeError::Unterminated));
        let mut long = b"\0\x01".to_vec();
        long.extend([b'a'; MAX_REQUEST]);
        long.extend(b"\0octet\0");
        check(&long, &Err(DecodeError::TooLong));
    }

    #[test]
    fn other_packets() {
        check(b"\0\x03\xff\xff", &Ok(Packet::Data { block: 65535, payload: b"" }));
        check(b"\0\x04\0\x09pad", &Ok(Packet::Ack { block: 9 }));
        let error = Packet::Error { code: ErrorCode(77), message: b"no" };
        check(b"\0\x05\0\x4dno\0", &Ok(error.clone()));
        check(b"\0\x05\0\x4dno", &Ok(error));
        check(b"\0\x06tsize\x005\0", &Ok(Packet::OptionAck(vec![(b"tsize", b"5")])));
        check(b"\0\x06tsize\x005\0x\0", &Ok(Packet::OptionAck(vec![(b"tsize", b"5")])));
    }

    /// T4: a datagram of one byte or with an unknown opcode is not a packet.
    #[test]
    fn malformed() {
        for bytes in [&b""[..], b"\0", b"\0\x03", b"\0\x03\0", b"\0\x04\x01", b"\0\x05\0"] {
            check(bytes, &Err(DecodeError::Truncated));
        }
        check(b"\0\0", &Err(DecodeError::UnknownOpcode(0)));
        check(b"\0\x07", &Err(DecodeError::UnknownOpcode(7)));
        check(b"\x01\x01a\0octet\0", &Err(DecodeError::UnknownOpcode(257)));
    }
}
