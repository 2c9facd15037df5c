//! A buffer for received datagrams.

use crate::protocol::{Arrival, Datagrams, PortId, Route};

/// The space for one datagram of the maximum length, or for as many as the kernel coalesces.
pub(super) const SLOT: usize = 1 << 16;
/// The number of datagrams that one recvmmsg(2) takes.
const BATCH: usize = 16;
/// The number of groups of datagrams that are handled together: few enough for the first clients
/// to have their answers, and to answer, while the last ones are answered.
const MAX_GROUPS: usize = 64;

/// A buffer for the datagrams of one or several system calls.
///
/// Datagrams that are received one by one are stored close together: the ACKs of hundreds of
/// clients fill a few lines of the processor's cache.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(super) buffer: Vec<u8>,
    /// The number of bytes at the start of the buffer that are in use.
    pub(super) used: usize,
    pub(super) groups: Vec<Group>,
}

/// Datagrams in the buffer that have been received together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// The port that has received them.
    pub(super) port: PortId,
    pub(super) route: Route,
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) segment: usize,
}

impl Inbox {
    /// Makes a buffer for one datagram, or for as many as one system call takes.
    pub(crate) fn new(batches: bool) -> Self {
        let count = if batches { BATCH } else { 1 };
        Self { buffer: vec![0; count * SLOT], used: 0, groups: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns whether there is no space for more datagrams.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() - self.used < SLOT || self.groups.len() >= MAX_GROUPS
    }

    /// Drops all datagrams.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.groups.clear();
    }

    /// The datagrams, in the order in which they were received.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.groups.iter().map(|group| {
            let bytes = &self.buffer[group.start..][..group.length];
            Arrival::new(group.port, group.route, Datagrams::new(bytes, group.segment))
        })
    }

    /// The space for one datagram.
    pub(super) fn slot(&mut self) -> &mut [u8] {
        &mut self.buffer[self.used..][..SLOT]
    }
}
