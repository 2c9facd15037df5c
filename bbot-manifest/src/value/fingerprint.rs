//! Fingerprints of certificates and keys.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;
use crate::value::octets;

/// A SHA-256 fingerprint.
///
/// It is read with colons between the octets (as of certificates) and without any (as of keys),
/// and displayed with colons and in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Fingerprint(pub [u8; 32]);

/// The text is not 32 hexadecimal octets, with colons between all of them or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("SHA256 fingerprint expected")]
#[non_exhaustive]
pub struct Sha256FingerprintError;

impl Sha256Fingerprint {
    /// Returns the form without colons, in lower case.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Sha256Fingerprint {
    type Err = Sha256FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets =
            if text.contains(':') { octets::separated(text) } else { octets::joined(text) };
        octets.map(Self).ok_or(Sha256FingerprintError)
    }
}

impl fmt::Display for Sha256Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.map(|octet| format!("{octet:02X}")).join(":"))
    }
}

serde_as_text!(Sha256Fingerprint);
