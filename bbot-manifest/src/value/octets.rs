//! Lists of hexadecimal octets.

/// Parses `N` octets of two hexadecimal digits each, with colons between them.
pub(crate) fn separated<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let mut parts = text.split(':');
    for octet in &mut octets {
        hex::decode_to_slice(parts.next()?, std::slice::from_mut(octet)).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

/// Parses `N` octets of two hexadecimal digits each, with nothing between them.
pub(crate) fn joined<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    hex::decode_to_slice(text, &mut octets).ok()?;
    Some(octets)
}
