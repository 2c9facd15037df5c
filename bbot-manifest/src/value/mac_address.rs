//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use crate::serde_text::serde_as_text;
use crate::value::octets;

/// An Ethernet address: six hexadecimal octets with colons between them.
///
/// ```
/// use bbot_manifest::protocol::MacAddress;
///
/// let mac: MacAddress = "02:16:3E:00:0a:01".parse()?;
/// assert_eq!(mac.to_string(), "02:16:3e:00:0a:01");
/// # Ok::<(), bbot_manifest::protocol::MacAddressError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// The text is not six hexadecimal octets with colons between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("six hexadecimal octets with colons between them expected")]
#[non_exhaustive]
pub struct MacAddressError;

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        octets::separated(text).map(Self).ok_or(MacAddressError)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.map(|octet| format!("{octet:02x}")).join(":"))
    }
}

serde_as_text!(MacAddress);
