//! MAC addresses of guests.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::Error;

/// Returns a random MAC address, locally administered and unicast, in lower case.
///
/// # Panics
///
/// If the kernel gives no random bytes, which it always does once it has booted.
pub fn random_mac() -> String {
    to_text(random())
}

pub(crate) fn random() -> [u8; 6] {
    let mut bytes = [0; 6];
    let length = getrandom(&mut bytes, GetRandomFlags::empty())
        .expect("the kernel gives random bytes once it has booted");
    assert_eq!(length, bytes.len(), "short reads start at 256 bytes");
    local_unicast(bytes)
}

/// Makes `bytes` locally administered (bit 1 of the first byte) and unicast (bit 0 clear).
fn local_unicast(mut bytes: [u8; 6]) -> [u8; 6] {
    bytes[0] = (bytes[0] & 0xfe) | 0x02;
    bytes
}

pub(crate) fn to_text(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

/// Checks that `text` is a MAC address that a guest's interface can have.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    let refused = |reason| Error::Config { what: "MAC address", value: text.to_owned(), reason };
    let bytes = parse(text).ok_or_else(|| refused("is not six pairs of hexadecimal digits"))?;
    if bytes[0] & 1 == 1 || bytes == [0; 6] {
        return Err(refused("is not the address of one interface"));
    }
    Ok(())
}

fn parse(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_byte_is_local_and_unicast() {
        for first in 0..=u8::MAX {
            let [changed, rest @ ..] = local_unicast([first, 1, 2, 3, 4, 5]);
            assert_eq!(changed & 0b11, 0b10, "{first:02x}");
            assert_eq!(changed & 0xfc, first & 0xfc);
            assert_eq!(rest, [1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn random_ones_differ_and_are_valid() {
        let (one, other) = (random_mac(), random_mac());
        assert_ne!(one, other);
        for mac in [one, other] {
            check(&mac).unwrap();
            assert_eq!(mac, mac.to_lowercase());
        }
    }

    #[test]
    fn check_tells_good_from_bad() {
        for good in ["52:54:00:12:34:56", "02:AB:cd:ef:00:01"] {
            check(good).unwrap();
        }
        for bad in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52-54-00-12-34-56",
            "5:254:00:12:34:56",
            "+2:54:00:12:34:56",
            "52:54:00:12:34:5g",
            "53:54:00:12:34:56",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "52:54:00:12:34:56,script=/x",
            "52:54:00:12:34:56\n",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
