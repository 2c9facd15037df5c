//! What a server reports to the program that it is part of.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::protocol::{Direction, ErrorCode, Failure, TransferId};

/// A report of a server.
///
/// For each transfer there is one [`Started`](Self::Started), and then one
/// [`Finished`](Self::Finished) or [`Failed`](Self::Failed) (T37).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The first well-formed request was received. It is reported once, before the request is
    /// granted or refused: a sign that a client is alive.
    #[non_exhaustive]
    FirstRequest {
        /// The address and port of the client.
        peer: SocketAddr,
    },
    /// A client has requested a transfer, and has answered the first packet of it.
    #[non_exhaustive]
    Started {
        /// The transfer's identifier.
        id: TransferId,
        /// The direction of the transfer.
        direction: Direction,
        /// The file's path in its folder.
        file: String,
        /// The address and port of the client.
        peer: SocketAddr,
    },
    /// A transfer has succeeded. A file that was written is durable, and visible under its name.
    #[non_exhaustive]
    Finished {
        /// The transfer's identifier, as in [`Started`](Self::Started).
        id: TransferId,
        /// The direction of the transfer.
        direction: Direction,
        /// The file's path in its folder.
        file: String,
        /// The address and port of the client.
        peer: SocketAddr,
        /// The file's length, in bytes.
        bytes: u64,
        /// The time since the request.
        duration: Duration,
        /// The number of packets that the server has sent more than once.
        retransmits: u64,
    },
    /// A started transfer has failed. Nothing is left of a file that was written.
    #[non_exhaustive]
    Failed {
        /// The transfer's identifier, as in [`Started`](Self::Started).
        id: TransferId,
        /// The direction of the transfer.
        direction: Direction,
        /// The file's path in its folder.
        file: String,
        /// The address and port of the client.
        peer: SocketAddr,
        /// The number of bytes that were received, or that the client has acknowledged.
        bytes: u64,
        /// The time since the request.
        duration: Duration,
        /// The number of packets that the server has sent more than once.
        retransmits: u64,
        /// Why it has failed.
        reason: Failure,
    },
    /// A request was refused with an ERROR.
    #[non_exhaustive]
    Refused {
        /// The address and port of the client.
        peer: SocketAddr,
        /// The direction of the requested transfer.
        direction: Direction,
        /// The file name in the request, without control characters.
        file: String,
        /// The error code that the client was sent.
        code: ErrorCode,
    },
}

/// The address of events that are made without one.
const NO_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Events as a server makes them, for the tests of programs that handle events. Fields that are not
/// arguments have a neutral value: zero, or `0.0.0.0:0`.
impl Event {
    /// A [`FirstRequest`](Self::FirstRequest).
    pub fn first_request(peer: SocketAddr) -> Self {
        Self::FirstRequest { peer }
    }

    /// A [`Started`](Self::Started).
    pub fn started(
        id: TransferId,
        direction: Direction,
        file: impl Into<String>,
        peer: SocketAddr,
    ) -> Self {
        Self::Started { id, direction, file: file.into(), peer }
    }

    /// A [`Finished`](Self::Finished).
    pub fn finished(
        id: TransferId,
        direction: Direction,
        file: impl Into<String>,
        bytes: u64,
        duration: Duration,
    ) -> Self {
        let (file, peer) = (file.into(), NO_PEER);
        Self::Finished { id, direction, file, peer, bytes, duration, retransmits: 0 }
    }

    /// A [`Failed`](Self::Failed).
    pub fn failed(
        id: TransferId,
        direction: Direction,
        file: impl Into<String>,
        reason: Failure,
    ) -> Self {
        let (file, peer, duration) = (file.into(), NO_PEER, Duration::ZERO);
        Self::Failed { id, direction, file, peer, bytes: 0, duration, retransmits: 0, reason }
    }

    /// A [`Refused`](Self::Refused).
    pub fn refused(
        peer: SocketAddr,
        direction: Direction,
        file: impl Into<String>,
        code: ErrorCode,
    ) -> Self {
        Self::Refused { peer, direction, file: file.into(), code }
    }
}
