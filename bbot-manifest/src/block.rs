//! Looking at 64 bytes at once.

use wide::i8x16;

/// Bytes looked at in one step.
pub(crate) const BLOCK: usize = 64;

/// What a block holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where LFs are: the lowest bit stands for the first byte.
    pub(crate) newlines: u64,
    /// Whether all bytes are graphic ASCII, spaces and LFs.
    pub(crate) plain: bool,
}

/// Looks at a block.
#[inline]
pub(crate) fn look(block: &[u8; BLOCK]) -> Block {
    let mut newlines = 0;
    let mut plain = i8x16::splat(-1);
    for (index, bytes) in block.as_chunks().0.iter().enumerate() {
        let bytes = i8x16::new(bytes.map(u8::cast_signed));
        let newline = bytes.simd_eq(i8x16::splat(0x0a));
        // As signed numbers, one higher: DEL and all that is not ASCII are less than a space.
        let graphic = (bytes + i8x16::splat(1)).simd_gt(i8x16::splat(0x20));
        plain &= newline | graphic;
        newlines |= u64::from(newline.to_bitmask()) << (index * 16);
    }
    Block { newlines, plain: plain.all() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_seen_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[place] = byte;
                let newlines = if byte == b'\n' { 1 << place } else { 0 };
                let plain = matches!(byte, b'\n' | b' '..=b'~');
                assert_eq!(look(&block), Block { newlines, plain });
            }
        }
    }
}
