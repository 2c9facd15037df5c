//! Examines 64 bytes at once.

use wide::i8x16;

/// Bytes examined in one step.
pub(crate) const BLOCK: usize = 64;

/// What a block contains.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The places of LFs: the lowest bit stands for the first byte.
    pub(crate) newlines: u64,
    /// Whether all bytes are graphic ASCII, spaces and LFs.
    pub(crate) plain: bool,
}

/// Examines a block.
#[inline]
pub(crate) fn scan(block: &[u8; BLOCK]) -> Block {
    let mut newlines = 0;
    let mut plain = i8x16::splat(-1);
    for (index, bytes) in block.as_chunks().0.iter().enumerate() {
        let bytes = i8x16::new(bytes.map(u8::cast_signed));
        let newline = bytes.simd_eq(i8x16::splat(0x0a));
        // Compared as signed numbers after adding 1: DEL and all bytes that are not ASCII wrap to
        // or are negative, so that one comparison refuses them together with the controls.
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
    fn every_byte_is_recognized_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[place] = byte;
                let newlines = if byte == b'\n' { 1 << place } else { 0 };
                let plain = matches!(byte, b'\n' | b' '..=b'~');
                assert_eq!(scan(&block), Block { newlines, plain });
            }
        }
    }
}
