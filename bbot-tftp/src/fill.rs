//! Packets that are ready to be sent: DATA from a file, and all others.

use std::io::{self, IoSliceMut};

use crate::packet::{HEADER, MAX_DATAGRAM, Packet, data_header};
use crate::send::SendTransfer;
use crate::store::{Source, read_all};

/// Bytes that one step sends: the peer takes them while the next are read. A window of 64 blocks
/// that fill an Ethernet frame goes out in two equal steps.
const BYTES_AT_ONCE: usize = 46 << 10;
/// Blocks that one step sends: well under `IOV_MAX`.
const BLOCKS_AT_ONCE: usize = 512;

/// Datagrams of one length; the last may be shorter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packets<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) segment: usize,
}

impl<'a> Packets<'a> {
    pub(crate) fn one(bytes: &'a [u8]) -> Self {
        Self { bytes, segment: bytes.len() }
    }

    pub(crate) fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment)
    }
}

/// Room for the packets of one step.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    blocks: Vec<u8>,
    packet: Vec<u8>,
}

impl SendBuffer {
    pub(crate) fn new() -> Self {
        Self { blocks: vec![0; MAX_DATAGRAM], packet: Vec::new() }
    }

    /// Makes one packet.
    pub(crate) fn put(&mut self, packet: &Packet<'_>) -> Packets<'_> {
        self.packet.clear();
        packet.encode(&mut self.packet);
        Packets::one(&self.packet)
    }

    /// Reads as many of the blocks as one step takes, each behind its header.
    pub(crate) fn put_blocks(
        &mut self,
        core: &SendTransfer,
        source: &dyn Source,
        first: u64,
        count: u16,
    ) -> io::Result<Packets<'_>> {
        let segment = usize::from(core.parameters().block_size) + HEADER;
        let fitting = (BYTES_AT_ONCE / segment).clamp(1, BLOCKS_AT_ONCE);
        let (offset, _) = core.payload(first);
        let mut length = 0;
        let mut payload = |block, packet| {
            let (header, payload) = <[u8]>::split_at_mut(packet, HEADER);
            header.copy_from_slice(&data_header(core.wire(block)));
            let (_, bytes) = core.payload(block);
            length += HEADER + bytes;
            IoSliceMut::new(&mut payload[..bytes])
        };
        match usize::from(count).min(fitting) {
            1 => read_all(source, &mut [payload(first, &mut self.blocks)], offset)?,
            count => {
                let packets = (first..).zip(self.blocks.chunks_mut(segment)).take(count);
                let payloads = packets.map(|(block, packet)| payload(block, packet));
                read_all(source, &mut payloads.collect::<Vec<_>>(), offset)?;
            }
        }
        Ok(Packets { bytes: &self.blocks[..length], segment })
    }
}
