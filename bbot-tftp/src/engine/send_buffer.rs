//! A buffer for the packets that are sent: DATA from a file, and all others.

use std::io::{self, IoSliceMut};

use crate::protocol::{Datagrams, HEADER, MAX_DATAGRAM, Packet, SendTransfer, data_header};
use crate::store::{Source, read_all};

/// The number of bytes that are sent at once: the peer receives them while the next ones are read.
/// A window of 64 blocks of the size of an Ethernet frame is sent in two equal parts.
const MAX_BYTES: usize = 46 << 10;
/// The number of blocks that are sent at once: less than `IOV_MAX`.
const MAX_BLOCKS: usize = 512;

/// A buffer for the packets of one send.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    blocks: Vec<u8>,
    packet: Vec<u8>,
}

impl SendBuffer {
    pub(crate) fn new() -> Self {
        Self { blocks: vec![0; MAX_DATAGRAM], packet: Vec::new() }
    }

    /// Encodes one packet.
    pub(crate) fn put(&mut self, packet: &Packet<'_>) -> Datagrams<'_> {
        self.packet.clear();
        packet.encode(&mut self.packet);
        Datagrams::one(&self.packet)
    }

    /// Reads up to `count` blocks, beginning with `first`, each after its header.
    pub(crate) fn put_blocks(
        &mut self,
        core: &SendTransfer,
        source: &dyn Source,
        first: u64,
        count: u16,
    ) -> io::Result<Datagrams<'_>> {
        let segment = usize::from(core.parameters().block_size) + HEADER;
        let fitting = (MAX_BYTES / segment).clamp(1, MAX_BLOCKS);
        let (offset, _) = core.payload(first);
        let mut length = 0;
        let mut payload = |block, packet| {
            let (header, payload) = <[u8]>::split_at_mut(packet, HEADER);
            header.copy_from_slice(&data_header(core.wire_number(block)));
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
        Ok(Datagrams::new(&self.blocks[..length], segment))
    }
}
