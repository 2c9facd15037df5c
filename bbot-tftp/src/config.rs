//! What a server grants, and its limits.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::protocol::{BlockSize, Rollover};

/// The configuration of a server.
///
/// ```
/// use bbot_tftp::{BlockSize, ServerConfig};
/// let config = ServerConfig::default()
///     .with_single_port(true)
///     .with_max_block_size(BlockSize::new(1428).unwrap());
/// assert_eq!(config.max_window_size.get(), 256);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Whether all transfers use the port that requests arrive at, instead of a new port for each:
    /// for clients behind NAT or a firewall that only lets answers pass (T1). By default false.
    pub single_port: bool,
    /// The largest block size that is granted (T12). By default 65464 bytes.
    pub max_block_size: BlockSize,
    /// Whether blocks may be granted that are sent in several IP fragments (T30): they are faster
    /// on some networks, and lost on others. By default false.
    pub fragments: bool,
    /// The largest window size that is granted, in blocks (T11). By default 256.
    pub max_window_size: NonZeroU16,
    /// The largest window that is granted, in bytes (T11). By default 4 MiB.
    pub max_window_bytes: usize,
    /// The size of the receive buffers that are requested of the kernel, in bytes, as the kernel
    /// counts them. By default 4 MiB.
    pub receive_buffer: usize,
    /// The number on the wire that follows 65535 (T14). By default 0.
    pub rollover: Rollover,
    /// Whether a backslash in the name of a request separates folders, as a slash does (T31): some
    /// clients of Windows deployments send them. Otherwise such a name is refused. By default
    /// false.
    pub backslashes: bool,
    /// The system calls that may be used for many packets at once. By default all.
    pub offload: Offload,
    /// The time for which the server polls for packets before it sleeps, while it has at most one
    /// client; zero for never. By default 50 us.
    pub spin: Duration,
    /// The limits.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            single_port: false,
            max_block_size: BlockSize::MAX,
            fragments: false,
            max_window_size: const { NonZeroU16::new(256).expect("not zero") },
            max_window_bytes: 4 << 20,
            receive_buffer: 4 << 20,
            rollover: Rollover::Zero,
            backslashes: false,
            offload: Offload::ALL,
            spin: Duration::from_micros(50),
            limits: Limits::default(),
        }
    }
}

impl ServerConfig {
    /// Sets [`single_port`](Self::single_port).
    #[must_use]
    pub const fn with_single_port(self, single_port: bool) -> Self {
        Self { single_port, ..self }
    }

    /// Sets [`max_block_size`](Self::max_block_size).
    #[must_use]
    pub const fn with_max_block_size(self, max_block_size: BlockSize) -> Self {
        Self { max_block_size, ..self }
    }

    /// Sets [`fragments`](Self::fragments).
    #[must_use]
    pub const fn with_fragments(self, fragments: bool) -> Self {
        Self { fragments, ..self }
    }

    /// Sets [`max_window_size`](Self::max_window_size).
    #[must_use]
    pub const fn with_max_window_size(self, max_window_size: NonZeroU16) -> Self {
        Self { max_window_size, ..self }
    }

    /// Sets [`max_window_bytes`](Self::max_window_bytes).
    #[must_use]
    pub const fn with_max_window_bytes(self, max_window_bytes: usize) -> Self {
        Self { max_window_bytes, ..self }
    }

    /// Sets [`receive_buffer`](Self::receive_buffer).
    #[must_use]
    pub const fn with_receive_buffer(self, receive_buffer: usize) -> Self {
        Self { receive_buffer, ..self }
    }

    /// Sets [`rollover`](Self::rollover).
    #[must_use]
    pub const fn with_rollover(self, rollover: Rollover) -> Self {
        Self { rollover, ..self }
    }

    /// Sets [`backslashes`](Self::backslashes).
    #[must_use]
    pub const fn with_backslashes(self, backslashes: bool) -> Self {
        Self { backslashes, ..self }
    }

    /// Sets [`offload`](Self::offload).
    #[must_use]
    pub const fn with_offload(self, offload: Offload) -> Self {
        Self { offload, ..self }
    }

    /// Sets [`spin`](Self::spin).
    #[must_use]
    pub const fn with_spin(self, spin: Duration) -> Self {
        Self { spin, ..self }
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub const fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

/// System calls that send or receive many packets at once. Where the kernel lacks one, the plain
/// call is used.
///
/// ```
/// use bbot_tftp::Offload;
/// let offload = Offload::ALL.with_coalescing(false);
/// assert!(offload.segmentation && offload.batches);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Offload {
    /// `UDP_SEGMENT` for sending (udp(7)).
    pub segmentation: bool,
    /// `UDP_GRO` for receiving (udp(7)).
    pub coalescing: bool,
    /// sendmmsg(2) and recvmmsg(2).
    pub batches: bool,
}

impl Offload {
    /// All system calls that the kernel has.
    pub const ALL: Self = Self { segmentation: true, coalescing: true, batches: true };
    /// One system call for each packet.
    pub const NONE: Self = Self { segmentation: false, coalescing: false, batches: false };

    /// Sets [`segmentation`](Self::segmentation).
    #[must_use]
    pub const fn with_segmentation(self, segmentation: bool) -> Self {
        Self { segmentation, ..self }
    }

    /// Sets [`coalescing`](Self::coalescing).
    #[must_use]
    pub const fn with_coalescing(self, coalescing: bool) -> Self {
        Self { coalescing, ..self }
    }

    /// Sets [`batches`](Self::batches).
    #[must_use]
    pub const fn with_batches(self, batches: bool) -> Self {
        Self { batches, ..self }
    }
}

impl Default for Offload {
    /// Returns [`Offload::ALL`].
    fn default() -> Self {
        Self::ALL
    }
}

/// The limits of a server. At a limit, new requests are refused with an ERROR, and transfers in
/// progress go on. `usize::MAX` and `Duration::MAX` mean that there is no limit.
///
/// ```
/// use bbot_tftp::{Limits, ServerConfig};
/// let limits = Limits::default().with_transfers(64).with_per_peer(8);
/// let config = ServerConfig::default().with_limits(limits);
/// assert_eq!(config.limits.transfers, 64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// The number of transfers in progress whose client has answered. By default 1024. Each needs
    /// four file descriptors, or two in single-port mode: where the process may have fewer, fewer
    /// transfers are accepted.
    pub transfers: usize,
    /// The number of half-open transfers: those whose client has not answered yet. The oldest is
    /// dropped for a new one (T6). By default 512.
    pub half_open: usize,
    /// The number of transfers of one address, half-open ones included, dallying ones not. By
    /// default 320.
    pub per_peer: usize,
    /// The number of dallying transfers: those that have ended but still answer repeated packets
    /// of their client (T24). By default 512.
    pub dallying: usize,
    /// The number of ERROR packets per second that each address is sent because of refused requests
    /// and unknown senders (T32). By default 1000.
    pub errors_per_second: u32,
    /// The maximum time of a transfer without progress (T22). By default 30 s.
    pub idle: Duration,
    /// The maximum time until a client's first answer (T6). By default 20 s.
    pub first_answer: Duration,
    /// The maximum duration of a transfer (T22). By default 24 h.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers: 1024,
            half_open: 512,
            per_peer: 320,
            dallying: 512,
            errors_per_second: 1000,
            idle: Duration::from_secs(30),
            first_answer: Duration::from_secs(20),
            total: Duration::from_secs(24 * 3600),
        }
    }
}

impl Limits {
    /// Sets [`transfers`](Self::transfers).
    #[must_use]
    pub const fn with_transfers(self, transfers: usize) -> Self {
        Self { transfers, ..self }
    }

    /// Sets [`half_open`](Self::half_open).
    #[must_use]
    pub const fn with_half_open(self, half_open: usize) -> Self {
        Self { half_open, ..self }
    }

    /// Sets [`per_peer`](Self::per_peer).
    #[must_use]
    pub const fn with_per_peer(self, per_peer: usize) -> Self {
        Self { per_peer, ..self }
    }

    /// Sets [`dallying`](Self::dallying).
    #[must_use]
    pub const fn with_dallying(self, dallying: usize) -> Self {
        Self { dallying, ..self }
    }

    /// Sets [`errors_per_second`](Self::errors_per_second).
    #[must_use]
    pub const fn with_errors_per_second(self, errors_per_second: u32) -> Self {
        Self { errors_per_second, ..self }
    }

    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub const fn with_idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Sets [`first_answer`](Self::first_answer).
    #[must_use]
    pub const fn with_first_answer(self, first_answer: Duration) -> Self {
        Self { first_answer, ..self }
    }

    /// Sets [`total`](Self::total).
    #[must_use]
    pub const fn with_total(self, total: Duration) -> Self {
        Self { total, ..self }
    }
}
