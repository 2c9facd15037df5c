//! MAC addresses of guests.

use std::fmt;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};

/// The MAC address of a network interface: an EUI-48 (IEEE 802).
///
/// Its text is six pairs of hexadecimal digits separated by colons. Both cases are read, lower case
/// is written.
///
/// ```
/// use bbot_vm::MacAddress;
///
/// let mac: MacAddress = "52:54:00:AB:cd:ef".parse()?;
/// assert_eq!(mac.to_string(), "52:54:00:ab:cd:ef");
/// assert_eq!(mac, MacAddress::new([0x52, 0x54, 0x00, 0xab, 0xcd, 0xef]));
/// assert!(MacAddress::random().is_locally_administered());
/// # Ok::<(), bbot_vm::ParseMacAddressError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// Returns the address of these octets, in the order in which they are written.
    pub const fn new(octets: [u8; 6]) -> MacAddress {
        MacAddress(octets)
    }

    /// Returns a random address, locally administered and unicast.
    ///
    /// # Panics
    ///
    /// If the kernel returns no random bytes, which it always does once it has booted.
    pub fn random() -> MacAddress {
        let mut octets = [0; 6];
        let length = getrandom(&mut octets, GetRandomFlags::empty())
            .expect("the kernel returns random bytes once it has booted");
        assert_eq!(length, octets.len(), "getrandom(2): reads of up to 256 bytes are never short");
        MacAddress(local_unicast(octets))
    }

    /// Returns the six octets, in the order in which they are written.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Returns whether this is the address of one interface, not of a group: the I/G bit, bit 0 of
    /// the first octet, is clear.
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 0x01 == 0
    }

    /// Returns whether no manufacturer has assigned this address: the U/L bit, bit 1 of the first
    /// octet, is set.
    pub const fn is_locally_administered(self) -> bool {
        self.0[0] & 0x02 != 0
    }
}

/// Sets the U/L bit and clears the I/G bit.
fn local_unicast(mut octets: [u8; 6]) -> [u8; 6] {
    octets[0] = (octets[0] & 0xfe) | 0x02;
    octets
}

impl From<[u8; 6]> for MacAddress {
    fn from(octets: [u8; 6]) -> MacAddress {
        MacAddress::new(octets)
    }
}

impl From<MacAddress> for [u8; 6] {
    fn from(mac: MacAddress) -> [u8; 6] {
        mac.octets()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|octet| format!("{octet:02x}")).join(":"))
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacAddressError;

    fn from_str(text: &str) -> Result<MacAddress, ParseMacAddressError> {
        parse(text).map(MacAddress).ok_or(ParseMacAddressError(()))
    }
}

/// A text is not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address is six pairs of hexadecimal digits separated by colons")]
pub struct ParseMacAddressError(());

fn parse(text: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2)?;
        // `from_str_radix` alone would take a sign.
        if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_octet_is_local_and_unicast() {
        for first in 0..=u8::MAX {
            let [changed, rest @ ..] = local_unicast([first, 1, 2, 3, 4, 5]);
            assert_eq!(changed & 0b11, 0b10, "{first:02x}");
            assert_eq!(changed & 0xfc, first & 0xfc);
            assert_eq!(rest, [1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn random_addresses_differ_and_are_read_back() {
        let (one, other) = (MacAddress::random(), MacAddress::random());
        assert_ne!(one, other);
        for mac in [one, other] {
            assert!(mac.is_unicast() && mac.is_locally_administered(), "{mac}");
            assert_eq!(mac.to_string().parse(), Ok(mac));
        }
    }

    #[test]
    fn texts_of_both_cases_are_read_and_lower_case_is_written() {
        for (text, octets, shown) in [
            ("52:54:00:12:34:56", [0x52, 0x54, 0, 0x12, 0x34, 0x56], "52:54:00:12:34:56"),
            ("02:AB:cd:ef:00:01", [2, 0xab, 0xcd, 0xef, 0, 1], "02:ab:cd:ef:00:01"),
            ("ff:ff:ff:ff:ff:ff", [0xff; 6], "ff:ff:ff:ff:ff:ff"),
            ("00:00:00:00:00:00", [0; 6], "00:00:00:00:00:00"),
        ] {
            let mac: MacAddress = text.parse().unwrap();
            assert_eq!(mac.octets(), octets);
            assert_eq!((mac.to_string(), format!("{mac:?}")), (shown.into(), shown.into()));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52-54-00-12-34-56",
            "5:254:00:12:34:56",
            "+2:54:00:12:34:56",
            "52:54:00:12:34:5g",
            "52:54:00:12:34:56,script=/x",
            "52:54:00:12:34:56\n",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text:?}");
        }
    }
}
