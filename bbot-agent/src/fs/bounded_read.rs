//! Reading with a limit (I6): no file and no peer decides how much memory is used.

use std::io::{self, Read};

/// Most files that are read are smaller: a single read takes all of it.
const USUAL: usize = 4 << 10;

/// Reads to the end; `None` if there are more than `limit` bytes.
pub(crate) fn whole(reader: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let bytes = prefix(reader, limit + 1)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Reads at most the first `limit` bytes.
pub(crate) fn prefix(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL);
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_is_not_returned() {
        assert_eq!(whole(&b"12345"[..], 5).unwrap().unwrap(), b"12345");
        assert_eq!(whole(&b"123456"[..], 5).unwrap(), None);
        assert_eq!(whole(io::repeat(b'x'), 5).unwrap(), None);
        assert_eq!(prefix(io::repeat(b'x'), 5).unwrap(), b"xxxxx");
    }
}
