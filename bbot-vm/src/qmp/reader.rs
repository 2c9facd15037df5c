//! The side of a connection that receives messages.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::error::QmpError;
use super::incoming::Incoming;
use super::line::{LINE_MAX, LineBuffer};
use super::message::{Event, Message};

/// How many reads [`Reader::receive`] makes before it returns, so that its caller can attend to
/// its other streams.
const READS_MAX: usize = 16;

/// The side of a connection that receives messages.
pub(crate) struct Reader {
    stream: UnixStream,
    lines: LineBuffer,
    sender: SyncSender<Incoming>,
}

/// Whether more may be received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// More may come.
    Open,
    /// Nothing more will come.
    Closed,
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Reader {
    pub(super) fn new(stream: UnixStream, sender: SyncSender<Incoming>) -> Reader {
        Reader { stream, lines: LineBuffer::default(), sender }
    }

    /// Takes what can be read without waiting. Answers go to the [`Client`](super::Client), events
    /// to `on_event`.
    pub(crate) fn receive(&mut self, on_event: &mut dyn FnMut(Event)) -> Received {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..READS_MAX {
            match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::ECONNRESET) => return self.end(QmpError::Closed),
                Ok(length) => {
                    if let Err(cause) = self.take(&buffer[..length], on_event) {
                        return self.end(cause);
                    }
                }
                Err(Errno::EAGAIN) => return Received::Open,
                Err(Errno::EINTR) => {}
                Err(error) => return self.end(QmpError::Io(error.into())),
            }
        }
        Received::Open
    }

    fn take(&mut self, bytes: &[u8], on_event: &mut dyn FnMut(Event)) -> Result<(), QmpError> {
        let pushed = self.lines.push(bytes);
        while let Some(line) = self.lines.next_line() {
            let incoming = match Message::parse(&line) {
                Some(Message::Event(event)) => {
                    on_event(event);
                    continue;
                }
                Some(Message::Greeting) => Incoming::Greeting,
                Some(Message::Answer { id, answer }) => Incoming::Answer { id, answer },
                None if line.is_empty() => continue,
                None => return Err(QmpError::malformed(&line)),
            };
            self.pass_on(incoming);
        }
        pushed.map_err(|_| QmpError::LineTooLong { limit: LINE_MAX })
    }

    fn end(&mut self, cause: QmpError) -> Received {
        self.pass_on(Incoming::End(cause));
        Received::Closed
    }

    fn pass_on(&self, incoming: Incoming) {
        // An error means that the client is gone, or has not taken the answers that came before.
        // It sees the end all the same: this side of the channel is dropped then.
        drop(self.sender.try_send(incoming));
    }
}
