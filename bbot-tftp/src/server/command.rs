//! The commands that other threads send to a server's thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::protocol::TransferId;
use crate::store::StoreError;

/// A message to a server's thread.
#[derive(Debug)]
pub(super) enum Command {
    Stop,
    /// The server stops when the downloads in progress and the complete uploads have ended.
    Drain(Duration),
    /// The server stops when the complete uploads have ended.
    FinishUploads(Duration),
    /// The storage thread has committed an upload.
    Committed(TransferId, Result<(), StoreError>),
}

/// Sends commands to a server's thread, and wakes it.
#[derive(Clone, Debug)]
pub(super) struct Waker {
    commands: Sender<Command>,
    counter: Arc<EventFd>,
}

impl Waker {
    pub(super) fn new(commands: Sender<Command>) -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self { commands, counter: Arc::new(EventFd::from_flags(flags)?) })
    }

    pub(super) fn send(&self, command: Command) {
        // Neither fails while the thread runs; after that, the command has no meaning.
        drop(self.commands.send(command));
        let _ = self.counter.write(1);
    }

    /// The event counter (eventfd(2)) that becomes readable with each command.
    pub(super) fn counter(&self) -> &Arc<EventFd> {
        &self.counter
    }
}
