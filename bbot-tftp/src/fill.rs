//! DATA packets from a file.

use std::io::{self, IoSliceMut};

use crate::packet::{HEADER, data_header};
use crate::send::SendTransfer;
use crate::store::{Source, read_all};

/// Bytes that one step sends: the peer takes them while the next are read.
const BYTES_AT_ONCE: usize = 32 << 10;
/// Blocks that one step sends: well under `IOV_MAX`.
const BLOCKS_AT_ONCE: usize = 512;
/// Steps up to this size are served from bytes that were read before.
const SMALL_STEP: usize = 4 << 10;

/// Bytes of the file that were read ahead of small steps.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    offset: u64,
    bytes: Vec<u8>,
}

/// Reads as many of the blocks as one step takes into `buffer`, each behind its header.
///
/// Returns the length of all packets, and that of each but the last.
pub(crate) fn fill_blocks(
    buffer: &mut [u8],
    core: &SendTransfer,
    source: &dyn Source,
    ahead: &mut ReadAhead,
    first: u64,
    count: u16,
) -> io::Result<(usize, usize)> {
    let segment = usize::from(core.parameters().block_size) + HEADER;
    let fitting = (BYTES_AT_ONCE.min(buffer.len()) / segment).clamp(1, BLOCKS_AT_ONCE);
    let count = usize::from(count).min(fitting);
    let mut payloads = Vec::with_capacity(count);
    let mut length = 0;
    for (block, packet) in (first..).zip(buffer.chunks_mut(segment).take(count)) {
        let (header, payload) = packet.split_at_mut(HEADER);
        header.copy_from_slice(&data_header(core.wire(block)));
        let (_, bytes) = core.payload(block);
        payloads.push(IoSliceMut::new(&mut payload[..bytes]));
        length += HEADER + bytes;
    }
    let (offset, _) = core.payload(first);
    if count * segment <= SMALL_STEP {
        ahead.read(source, &mut payloads, offset)?;
    } else {
        read_all(source, &mut payloads, offset)?;
    }
    Ok((length, segment))
}

impl ReadAhead {
    fn read(
        &mut self,
        source: &dyn Source,
        payloads: &mut [IoSliceMut<'_>],
        mut offset: u64,
    ) -> io::Result<()> {
        for payload in payloads {
            let length = payload.len();
            payload.copy_from_slice(self.get(source, offset, length)?);
            offset += length as u64;
        }
        Ok(())
    }

    fn get(&mut self, source: &dyn Source, offset: u64, length: usize) -> io::Result<&[u8]> {
        let held = self.offset..=self.offset + self.bytes.len() as u64;
        if !held.contains(&offset) || !held.contains(&(offset + length as u64)) {
            let rest = usize::try_from(source.size().saturating_sub(offset)).unwrap_or(usize::MAX);
            self.bytes.resize(rest.min(BYTES_AT_ONCE).max(length), 0);
            self.offset = offset;
            let read = read_all(source, &mut [IoSliceMut::new(&mut self.bytes)], offset);
            // Never served again, should the transfer go on.
            read.inspect_err(|_| self.bytes.clear())?;
        }
        let start = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
        Ok(&self.bytes[start..start + length])
    }
}
