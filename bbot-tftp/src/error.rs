//! What can go wrong outside a transfer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A server or client could not do its work.
#[derive(Debug)]
pub struct ServerError {
    operation: Operation,
    source: io::Error,
}

/// What was being done.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl ServerError {
    pub(crate) fn new(operation: Operation, source: io::Error) -> Self {
        Self { operation, source }
    }

    /// What was being done.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operation {
            Operation::OpenFolder(path) => write!(f, "cannot open folder {}", path.display()),
            Operation::Bind(address) => write!(f, "cannot bind UDP address {address}"),
            Operation::EventLoop => f.write_str("cannot make the event loop"),
            Operation::StartThread => f.write_str("cannot start a thread"),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
