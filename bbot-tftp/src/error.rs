//! The errors of servers and clients.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::protocol::Failure;

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub struct ServerError {
    operation: Operation,
    source: io::Error,
}

impl ServerError {
    pub(crate) fn new(operation: Operation, source: io::Error) -> Self {
        Self { operation, source }
    }

    /// The operation that has failed; the cause is the error's source.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }
}

/// An operation that has failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a folder of a namespace.
    OpenFolder(PathBuf),
    /// Binding a socket.
    Bind(SocketAddr),
    /// Making the event loop.
    EventLoop,
    /// Starting a thread.
    StartThread,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenFolder(path) => write!(f, "open folder {}", path.display()),
            Self::Bind(address) => write!(f, "bind UDP address {address}"),
            Self::EventLoop => f.write_str("make the event loop"),
            Self::StartThread => f.write_str("start a thread"),
        }
    }
}

/// Why a transfer of a [`Client`](crate::Client) has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A request cannot have this name (T36): it is empty, contains a NUL, or is too long.
    #[error("no request can have the name {0:?}")]
    Name(String),
    /// A UDP socket could not be opened or used.
    #[error("cannot use a UDP socket")]
    Socket(#[source] io::Error),
    /// The local file could not be read or written.
    #[error("cannot use the local file")]
    File(#[source] io::Error),
    /// The transfer itself has failed.
    #[error(transparent)]
    Transfer(#[from] Failure),
}
