//! The most bytes that an RSA key signs, read from its public key. Pure.

/// ASN.1 types as encoded in DER (ITU-T X.690, section 8).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The bytes of the padding (PKCS #1 v1.5, block type 1: RFC 8017, section 9.2).
const PADDING: usize = 11;

/// Returns the most bytes that the key signs without a digest; `None` if this is not an RSA public
/// key: DER, `SubjectPublicKeyInfo` (RFC 5280, section 4.1) around `RSAPublicKey` (RFC 8017,
/// A.1.1).
pub(super) fn signable(der: &[u8]) -> Option<usize> {
    let (info, _) = element(der, SEQUENCE)?;
    let (_algorithm, info) = element(info, SEQUENCE)?;
    let (bits, _) = element(info, BIT_STRING)?;
    // The first byte is the number of unused bits in the last one.
    let (numbers, _) = element(bits.strip_prefix(&[0])?, SEQUENCE)?;
    let (modulus, _) = element(numbers, INTEGER)?;
    let length = modulus.iter().skip_while(|byte| **byte == 0).count();
    length.checked_sub(PADDING).filter(|max| *max > 0)
}

/// Splits the content of the first element, which must be of this type, from the rest.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        let is_sane = digits.len() <= size_of::<u32>();
        let add = |length: usize, digit: &u8| length << 8 | usize::from(*digit);
        (is_sane.then(|| digits.iter().fold(0, add))?, rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::super::auth::tests::openssl;
    use super::*;

    /// The limit is that of openssl.
    #[test]
    fn a_key_signs_its_length_without_the_padding() {
        for (bits, most) in [("1024", 117), ("2048", 245), ("3072", 373)] {
            let key = openssl(&["genrsa", bits], b"");
            let der = openssl(&["rsa", "-pubout", "-outform", "DER"], &key);
            assert_eq!(signable(&der), Some(most), "{bits}");
        }
    }

    #[test]
    fn other_data_signs_nothing() {
        let key = openssl(&["genrsa", "1024"], b"");
        let der = openssl(&["rsa", "-pubout", "-outform", "DER"], &key);
        // The length does not depend on the exponent, at the end.
        for length in 0..der.len() - 5 {
            assert_eq!(signable(&der[..length]), None, "{length}");
        }
        // The bit string must consist of whole bytes; it contains the numbers.
        let mut odd = der.clone();
        let numbers = odd.windows(3).rposition(|bytes| bytes == [0, SEQUENCE, 0x81]).unwrap();
        odd[numbers] = 1;
        assert_eq!(signable(&odd), None);
        let elliptic = openssl(&["ecparam", "-genkey", "-name", "prime256v1", "-noout"], b"");
        let elliptic = openssl(&["pkey", "-pubout", "-outform", "DER"], &elliptic);
        for bad in [&b""[..], b"-----BEGIN", &key, &elliptic] {
            assert_eq!(signable(bad), None);
        }
    }
}
