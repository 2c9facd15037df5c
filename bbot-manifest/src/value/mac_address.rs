//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use nom::Parser;
use nom::bytes::complete::take_while_m_n;
use nom::character::complete::char;
use nom::combinator::{all_consuming, map_res};
use nom::multi::fill;
use nom::sequence::preceded;

use crate::text_value::serde_as_text;

/// An Ethernet address: six hexadecimal octets with colons between them.
///
/// ```
/// let mac: bbot_manifest::MacAddress = "02:16:3E:00:0a:01".parse()?;
/// assert_eq!(mac.to_string(), "02:16:3e:00:0a:01");
/// # Ok::<(), bbot_manifest::MacAddressError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// The text is not six hexadecimal octets with colons between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacAddressError;

impl fmt::Display for MacAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("six hexadecimal octets with colons between them expected")
    }
}

impl std::error::Error for MacAddressError {}

/// Parses two hexadecimal digits.
pub(crate) fn octet(input: &str) -> nom::IResult<&str, u8> {
    let digits = take_while_m_n(2, 2, |c: char| c.is_ascii_hexdigit());
    map_res(digits, |digits| u8::from_str_radix(digits, 16)).parse(input)
}

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let (first, rest) = octets.split_at_mut(1);
        let mut address =
            all_consuming((fill(octet, first), fill(preceded(char(':'), octet), rest)));
        address.parse(text).map_err(|_| MacAddressError)?;
        drop(address);
        Ok(Self(octets))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = self.0;
        write!(f, "{first:02x}")?;
        others.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

serde_as_text!(MacAddress);
