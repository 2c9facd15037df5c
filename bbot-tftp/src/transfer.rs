//! What both kinds of transfer share.

use std::fmt;
use std::time::Duration;

use crate::numbering::Rollover;
use crate::options::{DEFAULT_BLOCK_SIZE, Options};
use crate::packet::ErrorCode;

/// What the two ends agreed upon, and how patient ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Bytes in each block but the last.
    pub block_size: u16,
    /// Blocks that are sent before an ACK is waited for.
    pub window: u16,
    /// The negotiated retransmission interval; `None` means an adaptive one.
    pub timeout: Option<Duration>,
    /// What follows block 65535.
    pub rollover: Rollover,
    /// The longest time without progress.
    pub patience: Duration,
}

impl Parameters {
    /// The parameters that follow from granted options.
    pub fn new(granted: &Options, rollover: Rollover, patience: Duration) -> Self {
        Self {
            block_size: granted.block_size.unwrap_or(DEFAULT_BLOCK_SIZE),
            window: granted.window_size.unwrap_or(1),
            timeout: granted.timeout.map(|s| Duration::from_secs(s.into())),
            rollover,
            patience,
        }
    }
}

/// The first thing that this end of a transfer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// An OACK; the peer has to answer it.
    OptionAck,
    /// DATA 1 or ACK 0: no options are in use, or they are settled.
    Plain,
}

/// Where a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Under way.
    Active,
    /// All data is here; the owner makes it durable and then calls
    /// [`ReceiveTransfer::committed`](crate::ReceiveTransfer::committed).
    Committing,
    /// Over, but a repeated last block is still acknowledged.
    Dallying,
    /// Over; the object can be dropped.
    Done,
    /// Ended early.
    Failed(Failure),
}

/// Why a transfer ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The peer made no progress for too long.
    TimedOut,
    /// The peer sent an ERROR.
    Peer {
        /// Its number.
        code: ErrorCode,
        /// Its text, without control characters.
        message: String,
    },
    /// The peer's port is closed.
    Unreachable,
    /// This end gave up.
    Local {
        /// The number that the peer is told.
        code: ErrorCode,
        /// The text that the peer is told.
        message: &'static str,
    },
}

impl Failure {
    /// A failure of this end.
    pub fn local(code: ErrorCode, message: &'static str) -> Self {
        Self::Local { code, message }
    }

    /// A failure that the peer reported.
    pub fn peer(code: ErrorCode, message: &[u8]) -> Self {
        let text = String::from_utf8_lossy(message);
        let message = text.chars().filter(|c| !c.is_control()).take(200).collect();
        Self::Peer { code, message }
    }

    /// What the peer is told, if anything: an ERROR is never answered with an ERROR.
    pub fn reply(&self) -> Option<(ErrorCode, &'static str)> {
        match self {
            Self::TimedOut => Some((ErrorCode::UNDEFINED, "timed out")),
            Self::Local { code, message } => Some((*code, message)),
            Self::Peer { .. } | Self::Unreachable => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Peer { code, message } => write!(f, "peer sent error {}: {message:?}", code.0),
            Self::Unreachable => f.write_str("peer's port is closed"),
            Self::Local { code, message } => write!(f, "{message} (error {})", code.0),
        }
    }
}
