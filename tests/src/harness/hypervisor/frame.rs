//! Frames: Ethernet, ARP, IPv4 and UDP, as far as a TFTP client needs them.

use std::net::{Ipv4Addr, SocketAddrV4};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

pub(super) const BROADCAST: Mac = [0xff; 6];
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, address lengths 6 and 4.
const ARP_KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const PROTOCOL_UDP: u8 = 17;

/// A frame that the guest handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// An ARP request or reply.
    Arp { is_request: bool, sender: (Mac, Ipv4Addr), target: Ipv4Addr },
    /// A UDP datagram.
    Udp { source: SocketAddrV4, destination: SocketAddrV4, payload: Vec<u8> },
}

impl Frame {
    /// Parses a frame; `None` for every other kind, and for IPv4 fragments.
    pub(super) fn parse(bytes: &[u8]) -> Option<Frame> {
        let (ethertype, rest) = (bytes.get(12..14)?, bytes.get(14..)?);
        if ethertype == ETHERTYPE_ARP {
            return parse_arp(rest);
        }
        if ethertype == ETHERTYPE_IPV4 { parse_udp(rest) } else { None }
    }
}

fn parse_arp(bytes: &[u8]) -> Option<Frame> {
    if bytes.get(..6)? != ARP_KIND {
        return None;
    }
    let is_request = match bytes.get(6..8)? {
        [0, 1] => true,
        [0, 2] => false,
        _ => return None,
    };
    let sender = (bytes.get(8..14)?.try_into().ok()?, address(bytes, 14)?);
    Some(Frame::Arp { is_request, sender, target: address(bytes, 24)? })
}

fn parse_udp(bytes: &[u8]) -> Option<Frame> {
    let header = usize::from(bytes.first()? & 0xf) * 4;
    let more_or_offset = u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?) & 0x3fff;
    if bytes[0] >> 4 != 4 || more_or_offset != 0 || *bytes.get(9)? != PROTOCOL_UDP {
        return None;
    }
    let udp = bytes.get(header..)?;
    let port = |at| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
    let source = SocketAddrV4::new(address(bytes, 12)?, port(0)?);
    let destination = SocketAddrV4::new(address(bytes, 16)?, port(2)?);
    // The frame may be padded beyond the datagram.
    let payload = udp.get(8..usize::from(port(4)?))?.to_vec();
    Some(Frame::Udp { source, destination, payload })
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

/// An ARP frame of `sender`.
pub(super) fn arp(is_request: bool, sender: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut frame = ethernet(to.0, sender.0, ETHERTYPE_ARP);
    frame.extend(ARP_KIND);
    frame.extend([0, if is_request { 1 } else { 2 }]);
    frame.extend(sender.0);
    frame.extend(sender.1.octets());
    frame.extend(to.0);
    frame.extend(to.1.octets());
    frame
}

/// A frame with a UDP datagram without checksum, which IPv4 allows; `None` if it is too long.
pub(super) fn udp(
    macs: (Mac, Mac),
    source: SocketAddrV4,
    destination: SocketAddrV4,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(payload.len() + 8).ok()?;
    let length = udp_length.checked_add(20)?;
    let mut header = [0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[8] = 64;
    header[9] = PROTOCOL_UDP;
    header[12..16].copy_from_slice(&source.ip().octets());
    header[16..20].copy_from_slice(&destination.ip().octets());
    let checksum = checksum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    let (from, to) = macs;
    let mut frame = ethernet(to, from, ETHERTYPE_IPV4);
    frame.extend(header);
    for field in [source.port(), destination.port(), udp_length, 0] {
        frame.extend(field.to_be_bytes());
    }
    frame.extend(payload);
    Some(frame)
}

fn ethernet(to: Mac, from: Mac, ethertype: [u8; 2]) -> Vec<u8> {
    [&to[..], &from[..], &ethertype[..]].concat()
}

/// The Internet checksum of a header whose own checksum is zero.
fn checksum(header: &[u8; 20]) -> u16 {
    let words = header.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let sum = words.fold(0_u16, |sum, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::{Frame, arp, checksum, udp};

    const ME: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const HOST: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn a_frame_is_parsed_as_it_was_built() {
        let (source, destination) = ("10.9.8.7:6".parse().unwrap(), "1.2.3.4:69".parse().unwrap());
        let mut frame = udp((ME, HOST), source, destination, b"abc").unwrap();
        frame.extend([0; 20]);
        let payload = b"abc".to_vec();
        assert_eq!(Frame::parse(&frame), Some(Frame::Udp { source, destination, payload }));
        let (mine, target) = ((ME, [10, 0, 0, 2].into()), [10, 0, 0, 1].into());
        let frame = arp(true, mine, (HOST, target));
        assert_eq!(
            Frame::parse(&frame),
            Some(Frame::Arp { is_request: true, sender: mine, target })
        );
        assert!((0..frame.len()).all(|end| Frame::parse(&frame[..end]).is_none()));
    }

    /// RFC 1071, with a header whose checksum is known.
    #[test]
    fn the_checksum_of_a_header_is_right() {
        let mut header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        let sum = checksum(&header);
        assert_eq!(sum, 0xb861);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&header), 0);
    }
}
