//! The format of netlink messages and of their attributes. Pure.

use std::io;

/// `NLMSG_ERROR`: an acknowledgement, or an error.
pub(super) const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub(super) const DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`: the dump is not consistent.
pub(super) const DUMP_INTERRUPTED: u16 = 0x10;
/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// The length of `struct nlattr`.
const ATTRIBUTE_HEADER: usize = 4;
/// The bits of an attribute's type that are its number (`NLA_TYPE_MASK`).
const ATTRIBUTE_NUMBER: u16 = 0x3fff;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::network) struct Message {
    /// `nlmsg_type`
    pub(in crate::network) kind: u16,
    /// `nlmsg_flags`
    pub(super) flags: u16,
    /// What follows the header.
    pub(in crate::network) payload: Vec<u8>,
}

impl Message {
    /// Returns the attributes that follow a fixed part of this length.
    pub(in crate::network) fn attributes(&self, fixed: usize) -> Attributes<'_> {
        Attributes(self.payload.get(fixed..).unwrap_or_default())
    }

    /// Returns the error that a message of the type [`ERROR`] reports, if it reports one.
    pub(super) fn error(&self) -> io::Result<()> {
        match self.payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Attributes, one after the other.
#[derive(Debug, Clone)]
pub(in crate::network) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Returns the value of the first attribute with this number.
    pub(in crate::network) fn get(&self, number: u16) -> Option<&'a [u8]> {
        self.clone().find(|(found, _)| *found == number).map(|(_, value)| value)
    }

    /// Returns the attributes within the first attribute with this number.
    pub(in crate::network) fn nested(&self, number: u16) -> Attributes<'a> {
        Attributes(self.get(number).unwrap_or_default())
    }

    /// Returns the value of an attribute that is a number of the host's byte order.
    pub(in crate::network) fn number(&self, number: u16) -> Option<u32> {
        self.get(number)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    /// Returns the value of an attribute that is a string, without its terminating NUL.
    pub(in crate::network) fn text(&self, number: u16) -> Option<&'a str> {
        let bytes = self.get(number)?.split(|&byte| byte == 0).next()?;
        std::str::from_utf8(bytes).ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let number = u16_at(self.0, 2)? & ATTRIBUTE_NUMBER;
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((number, value))
    }
}

/// Returns the messages of a datagram; one that is cut off, and what follows it, is left out.
pub(in crate::network) fn messages(mut datagram: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind), Some(flags)) =
        (u32_at(datagram, 0), u16_at(datagram, 4), u16_at(datagram, 6))
    {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(payload) = datagram.get(HEADER..length) else { break };
        found.push(Message { kind, flags, payload: payload.to_vec() });
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    found
}

/// Returns a message with this payload.
pub(super) fn encode(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + payload.len()).expect("requests are short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // The sequence number and the port: a socket has one request at a time.
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}

/// Returns an attribute, padded.
pub(in crate::network) fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
    let length = ATTRIBUTE_HEADER + value.len();
    let mut bytes = u16::try_from(length).expect("attributes are short").to_ne_bytes().to_vec();
    bytes.extend(number.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(length), 0);
    bytes
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let payload = [&[9; 4][..], &attribute(3, b"tap1\0"), &attribute(10, &[7, 0, 0, 0])];
        let mut datagram = encode(18, 5, &payload.concat());
        datagram.extend(encode(DONE, 0, &[0; 4]));
        let found = messages(&datagram);
        assert_eq!((found.len(), found[0].kind, found[1].kind), (2, 18, DONE));
        let attributes = found[0].attributes(4);
        assert_eq!((attributes.text(3), attributes.number(10)), (Some("tap1"), Some(7)));
        assert_eq!((attributes.get(4), attributes.nested(4).count()), (None, 0));
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let whole = encode(18, 5, &attribute(3, b"tap1\0"));
        for length in 0..whole.len() {
            let cut = messages(&whole[..length]);
            assert!(cut.is_empty(), "{length}: {cut:?}");
        }
        for value in [&b""[..], &[1], &[9, 0, 3, 0, 1], &[0, 0, 3, 0], &[3, 0, 3, 0]] {
            assert_eq!(Attributes(value).count(), 0, "{value:?}");
        }
        // A length of less than the header's does not make it loop.
        assert_eq!(messages(&[0; 64]), []);
    }

    #[test]
    fn an_error_is_the_negated_errno() {
        let message = |payload: &[u8]| Message { kind: ERROR, flags: 0, payload: payload.to_vec() };
        assert!(message(&0_i32.to_ne_bytes()).error().is_ok());
        let error = message(&(-19_i32).to_ne_bytes()).error().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19));
        assert_eq!(message(&[0]).error().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
