//! The parameters and the states of a transfer, as both ends know them.

use std::num::NonZeroU16;
use std::time::Duration;

use super::block_size::BlockSize;
use super::numbering::Rollover;
use super::options::Options;
use super::packet::ErrorCode;

/// What the two ends have agreed upon, and the limits of this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Parameters {
    /// The number of bytes in each block but the last.
    pub block_size: BlockSize,
    /// The number of blocks that are sent before an ACK is awaited.
    pub window_size: NonZeroU16,
    /// The negotiated interval of retransmissions; `None` means an adaptive one.
    pub timeout: Option<Duration>,
    /// The number on the wire that follows 65535.
    pub rollover: Rollover,
    /// The maximum time without progress.
    pub idle_limit: Duration,
}

impl Parameters {
    /// The parameters that follow from granted options.
    pub fn new(granted: &Options, rollover: Rollover, idle_limit: Duration) -> Self {
        Self {
            block_size: granted.block_size.unwrap_or_default(),
            window_size: granted.window_size.unwrap_or(NonZeroU16::MIN),
            timeout: granted.timeout.map(|seconds| Duration::from_secs(seconds.get().into())),
            rollover,
            idle_limit,
        }
    }
}

/// The first packet that this end of a transfer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// An OACK, which the peer must answer.
    OptionAck,
    /// DATA 1 or ACK 0: no options are in use, or they are agreed upon.
    Plain,
}

/// The state of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The transfer is in progress.
    Active,
    /// All data has been received. The owner makes it durable and then calls
    /// [`ReceiveTransfer::committed`](crate::ReceiveTransfer::committed).
    Committing,
    /// The transfer has succeeded; a repeated last block is still acknowledged (RFC 1350
    /// section 6).
    Dallying,
    /// The transfer has succeeded, and the object can be dropped.
    Done,
    /// The transfer has failed.
    Failed(Failure),
}

/// Why a transfer has failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// There was no progress within the idle limit, or the transfer has reached its maximum
    /// duration.
    #[error("timed out")]
    TimedOut,
    /// The peer has sent an ERROR.
    #[error("peer sent error {}: {message:?}", code.0)]
    #[non_exhaustive]
    Peer {
        /// The error code.
        code: ErrorCode,
        /// The message, without control characters; 200 characters at most.
        message: String,
    },
    /// The peer's port is closed.
    #[error("peer's port is closed")]
    Unreachable,
    /// The client has begun another transfer from the same port (T5).
    #[error("client has begun another transfer")]
    Replaced,
    /// This end has ended the transfer.
    #[error("{message} (error {})", code.0)]
    #[non_exhaustive]
    Local {
        /// The error code that the peer is sent.
        code: ErrorCode,
        /// The message that the peer is sent.
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

    /// The code and the message of the ERROR that the peer is sent, if any: an ERROR is never
    /// answered with an ERROR, and one to a client that has begun another transfer would end that.
    pub fn reply(&self) -> Option<(ErrorCode, &'static str)> {
        match self {
            Self::TimedOut => Some((ErrorCode::UNDEFINED, "timed out")),
            Self::Local { code, message } => Some((*code, message)),
            Self::Peer { .. } | Self::Unreachable | Self::Replaced => None,
        }
    }
}
