//! What a server tells the program that it is part of.

use std::net::SocketAddr;
use std::time::Duration;

use crate::packet::{Direction, ErrorCode};
use crate::transfer::Failure;

/// Something that happened in a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first well-formed request came; granted or not, it is a sign of life.
    FirstRequest {
        /// Who sent it.
        peer: SocketAddr,
    },
    /// A client has asked for a transfer and answered the first packet of it.
    Started {
        /// The transfer's number, unique in this server.
        id: u64,
        /// Which way the file goes.
        direction: Direction,
        /// The file's path within its folder.
        file: String,
        /// The other end.
        peer: SocketAddr,
    },
    /// A transfer is complete. An upload is durable and visible under its name.
    Finished {
        /// The number that it was started with.
        id: u64,
        /// Which way the file went.
        direction: Direction,
        /// The file's path within its folder.
        file: String,
        /// The file's length.
        bytes: u64,
        /// The time since the request.
        duration: Duration,
    },
    /// A started transfer has ended early. An upload leaves no trace.
    Failed {
        /// The number that it was started with.
        id: u64,
        /// Which way the file went.
        direction: Direction,
        /// The file's path within its folder.
        file: String,
        /// Why.
        reason: Failure,
    },
    /// A request was answered with an ERROR.
    Refused {
        /// Who sent it.
        peer: SocketAddr,
        /// What was asked for.
        direction: Direction,
        /// The name as it was asked for, without control characters.
        file: String,
        /// What the client was told.
        code: ErrorCode,
    },
}
