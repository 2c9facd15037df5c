//! What a server grants, and where its bounds are.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::numbering::Rollover;
use crate::options::MAX_BLOCK_SIZE;
use crate::packet::HEADER;

/// How a server behaves. [`ServerConfig::default`] suits a server for anybody;
///
/// ```
/// use bbot_tftp::ServerConfig;
/// let config = ServerConfig { single_port: true, max_blksize: 1428, ..ServerConfig::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Answers from the port that was asked, instead of a fresh one for each transfer: for
    /// clients behind NAT or a firewall that lets only answers in.
    pub single_port: bool,
    /// The greatest block size that is granted.
    pub max_blksize: u16,
    /// The widest window that is granted.
    pub max_windowsize: u16,
    /// The most bytes of one window that are granted.
    pub max_window_bytes: usize,
    /// The receive buffer that sockets ask for, as the kernel counts it.
    pub receive_buffer: usize,
    /// What follows block 65535.
    pub rollover: Rollover,
    /// Which faster system calls are tried.
    pub offload: Offload,
    /// The time for which the loop looks for packets before it sleeps, as long as there is one
    /// client at the most; zero for never.
    pub spin: Duration,
    /// The bounds.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            single_port: false,
            max_blksize: MAX_BLOCK_SIZE,
            max_windowsize: 256,
            max_window_bytes: 4 << 20,
            receive_buffer: 4 << 20,
            rollover: Rollover::Zero,
            offload: Offload::ALL,
            spin: Duration::from_micros(50),
            limits: Limits::default(),
        }
    }
}

/// System calls that carry many packets at once. Where the kernel lacks one, the plain call is
/// used; each can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// `UDP_SEGMENT` for sending.
    pub segmentation: bool,
    /// `UDP_GRO` for receiving.
    pub coalescing: bool,
    /// `sendmmsg` and `recvmmsg`.
    pub batches: bool,
}

impl Offload {
    /// Everything that the kernel can do.
    pub const ALL: Self = Self { segmentation: true, coalescing: true, batches: true };
    /// One packet, one call.
    pub const NONE: Self = Self { segmentation: false, coalescing: false, batches: false };
}

/// Bounds of a server. At a bound new requests get an ERROR, and running transfers go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transfers under way whose client has answered. Each needs four descriptors, or two in
    /// single-port mode: where the process may have fewer, there are fewer transfers.
    pub transfers: usize,
    /// Requests whose client has not answered yet; the oldest makes room for a new one.
    pub half_open: usize,
    /// Transfers and half-open requests of one address.
    pub per_peer: usize,
    /// Finished uploads whose last block is still acknowledged again.
    pub tombstones: usize,
    /// ERROR packets per second that answer strangers and refused requests.
    pub errors_per_second: u32,
    /// The longest time of a transfer without progress.
    pub idle: Duration,
    /// The longest time that a client has for its first answer.
    pub first_answer: Duration,
    /// The longest time of a transfer.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers: 1024,
            half_open: 512,
            per_peer: 320,
            tombstones: 512,
            errors_per_second: 100,
            idle: Duration::from_secs(30),
            first_answer: Duration::from_secs(20),
            total: Duration::from_secs(24 * 3600),
        }
    }
}

/// The two ends of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The client.
    pub peer: SocketAddr,
    /// The address that the client's request came to, where it is known.
    pub local: Option<IpAddr>,
}

/// What the kernel counts in a receive buffer for one datagram with a block of this size: its
/// bytes in pages or a power of two, and the structures that describe it.
pub(crate) fn buffer_cost(block_size: u16) -> usize {
    const OVERHEAD: usize = 384;
    const DESCRIPTOR: usize = 256;
    (usize::from(block_size) + HEADER + OVERHEAD).next_power_of_two() + DESCRIPTOR
}

/// Lets at most so many things happen in a second.
#[derive(Debug)]
pub(crate) struct RateLimit {
    per_second: u32,
    left: u32,
    since: Instant,
}

impl RateLimit {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, left: per_second, since: now }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.left = self.per_second;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}
