//! The identity of a server's transfers and of its ports.

use std::fmt;
use std::num::NonZeroU64;

use rustc_hash::FxHashMap;

/// Identifies a transfer of one server, which uses each identifier once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(NonZeroU64);

impl TransferId {
    pub(crate) const FIRST: Self = Self(NonZeroU64::MIN);

    /// The identifier's number: 1 for a server's first transfer, and greater for each later one.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The identifier of the next transfer.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl From<NonZeroU64> for TransferId {
    fn from(number: NonZeroU64) -> Self {
        Self(number)
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies a UDP port of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortId {
    /// The port that requests arrive at; in single-port mode it carries all transfers.
    Listener,
    /// The port that carries one transfer only.
    Transfer(TransferId),
}

/// A map by transfer.
///
/// No peer chooses the keys: a hash that resists chosen keys would only cost time, several times
/// for each packet.
pub(crate) type TransferMap<V> = FxHashMap<TransferId, V>;
