//! How the kernel counts the datagrams in a receive buffer.

use super::block_size::BlockSize;
use super::packet::HEADER;

/// The number of bytes that a datagram with a block of this size takes in a receive buffer of the
/// kernel: its own bytes in pages or a power of two, and the structures that describe it (T11).
pub(crate) fn datagram_cost(block_size: BlockSize) -> usize {
    const OVERHEAD: usize = 384;
    const DESCRIPTOR: usize = 256;
    (usize::from(block_size) + HEADER + OVERHEAD).next_power_of_two() + DESCRIPTOR
}
