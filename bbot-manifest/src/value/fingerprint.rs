//! Fingerprints of certificates and keys.

use std::fmt;
use std::str::FromStr;

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::all_consuming;
use nom::multi::{many1, separated_list1};

use crate::text_value::serde_as_text;
use crate::value::mac_address::octet;

/// A SHA-256 fingerprint.
///
/// It is read with colons between the octets (as of certificates) and without any (as of keys),
/// and shown with colons and in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Fingerprint(pub [u8; 32]);

/// The text is not 32 hexadecimal octets, with colons between all of them or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256FingerprintError;

impl fmt::Display for Sha256FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA256 fingerprint expected")
    }
}

impl std::error::Error for Sha256FingerprintError {}

impl Sha256Fingerprint {
    /// Returns the form without colons, in lower case.
    pub fn to_hex(self) -> String {
        let mut text = String::with_capacity(64);
        for octet in self.0 {
            for digit in [octet >> 4, octet & 0xf] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        text
    }
}

impl FromStr for Sha256Fingerprint {
    type Err = Sha256FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets = if text.contains(':') {
            all_consuming(separated_list1(char(':'), octet)).parse(text)
        } else {
            all_consuming(many1(octet)).parse(text)
        };
        let (_, octets) = octets.map_err(|_| Sha256FingerprintError)?;
        octets.try_into().map(Self).map_err(|_| Sha256FingerprintError)
    }
}

impl fmt::Display for Sha256Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

serde_as_text!(Sha256Fingerprint);
