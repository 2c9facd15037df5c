//! Commands and their answers, with a limit on every wait.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use qapi::qmp;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde_json::Value;

use super::line::{LINE_MAX, LineBuffer};
use super::message::{Message, Refusal};

/// How many answers may wait for the client. There is one command under way at a time, so a second
/// one is late already, and more come only from a QEMU that the guest has taken over.
const INCOMING_MAX: usize = 16;
/// How often the listening side reads before it looks after its other duties.
const READS_MAX: usize = 16;

/// Why a command on the machine protocol failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum QmpError {
    /// The connection is at its end: usually the program is, too.
    Closed,
    /// The answer did not come in time.
    Timeout {
        /// How long it was waited for.
        limit: Duration,
    },
    /// QEMU refused the command.
    Refused {
        /// The kind of error.
        class: String,
        /// QEMU's words.
        description: String,
    },
    /// QEMU wrote what is not of this protocol.
    Malformed {
        /// The beginning of it.
        line: String,
    },
    /// QEMU wrote a line that is too long.
    LineTooLong {
        /// The longest length, in bytes.
        limit: usize,
    },
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QmpError::Closed => f.write_str("the monitor connection was closed"),
            QmpError::Timeout { limit } => write!(f, "no answer within {limit:?}"),
            QmpError::Refused { class, description } => write!(f, "{description} ({class})"),
            QmpError::Malformed { line } => write!(f, "unexpected line {line:?}"),
            QmpError::LineTooLong { limit } => write!(f, "a line has more than {limit} bytes"),
            QmpError::Io(_) => f.write_str("the monitor connection failed"),
        }
    }
}

impl std::error::Error for QmpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            QmpError::Io(source) => Some(source),
            _ => None,
        }
    }
}

/// Splits a connection into the side that commands and the side that listens.
///
/// The [`Reader`] belongs to a thread that waits for the connection to be readable; the
/// [`Client`] gets its answers from there.
pub(crate) fn pair(stream: UnixStream) -> io::Result<(Client, Reader)> {
    let (sender, received) = mpsc::sync_channel(INCOMING_MAX);
    let writer = stream.try_clone()?;
    let client = Client { writer, received, next_id: 1 };
    Ok((client, Reader { stream, lines: LineBuffer::default(), sender }))
}

/// What the listening side hands over to the commanding one.
#[derive(Debug)]
enum Incoming {
    Greeting,
    Answer {
        id: Option<u64>,
        answer: Result<Value, Refusal>,
    },
    /// Nothing more will come.
    End(QmpError),
}

/// The commanding side.
#[derive(Debug)]
pub(crate) struct Client {
    writer: UnixStream,
    received: Receiver<Incoming>,
    next_id: u64,
}

impl Client {
    /// Waits for the greeting, and ends the negotiation that the protocol begins with.
    pub(crate) fn handshake(&mut self, limit: Duration) -> Result<(), QmpError> {
        let deadline = Instant::now() + limit;
        while !matches!(self.next_incoming(deadline, limit)?, Incoming::Greeting) {}
        self.execute(qmp::qmp_capabilities { enable: None }, limit)?;
        Ok(())
    }

    /// Sends a command, and returns its answer.
    pub(crate) fn execute<C: qapi::Command>(
        &mut self,
        command: C,
        limit: Duration,
    ) -> Result<C::Ok, QmpError> {
        let answer = self.execute_untyped(command, limit)?;
        let text = answer.to_string();
        serde_json::from_value(answer).map_err(|_| malformed(text.as_bytes()))
    }

    /// Sends a command, and returns its answer as it came: for answers that may hold values that
    /// `qapi` does not know.
    pub(crate) fn execute_untyped<C: qapi::Command>(
        &mut self,
        command: C,
        limit: Duration,
    ) -> Result<Value, QmpError> {
        let deadline = Instant::now() + limit;
        let id = self.next_id;
        self.next_id += 1;
        let mut line = serde_json::to_vec(&qapi::Execute::new(command, Some(id)))
            .map_err(|error| QmpError::Io(error.into()))?;
        line.push(b'\n');
        self.send(&line, limit)?;
        loop {
            match self.next_incoming(deadline, limit)? {
                // Without an id it can only be about this command: there is no other under way.
                Incoming::Answer { id: None, answer: Err(refusal) } => return Err(refusal.into()),
                Incoming::Answer { id: Some(answered), answer } if answered == id => {
                    return Ok(answer?);
                }
                // A late answer to a command that was given up.
                Incoming::Answer { .. } | Incoming::Greeting => {}
                Incoming::End(cause) => return Err(cause),
            }
        }
    }

    /// QEMU reads its commands always but when it hangs; then a full buffer must not hang us.
    fn send(&mut self, line: &[u8], limit: Duration) -> Result<(), QmpError> {
        let limit = limit.max(Duration::from_millis(1));
        let sent =
            self.writer.set_write_timeout(Some(limit)).and_then(|()| self.writer.write_all(line));
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => QmpError::Timeout { limit },
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => QmpError::Closed,
            _ => QmpError::Io(error),
        })
    }

    fn next_incoming(&self, deadline: Instant, limit: Duration) -> Result<Incoming, QmpError> {
        match self.received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Incoming::End(cause)) => Err(cause),
            Ok(incoming) => Ok(incoming),
            Err(RecvTimeoutError::Timeout) => Err(QmpError::Timeout { limit }),
            Err(RecvTimeoutError::Disconnected) => Err(QmpError::Closed),
        }
    }
}

/// The listening side.
pub(crate) struct Reader {
    stream: UnixStream,
    lines: LineBuffer,
    sender: SyncSender<Incoming>,
}

/// What a read brought.
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
    /// Takes what can be read without waiting. Answers go to the [`Client`], the names of
    /// events to `on_event`.
    pub(crate) fn receive(&mut self, on_event: &mut dyn FnMut(String)) -> Received {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..READS_MAX {
            match rustix::net::recv(&self.stream, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return self.end(QmpError::Closed),
                Ok((_, length)) => {
                    if let Err(cause) = self.take(&buffer[..length], on_event) {
                        return self.end(cause);
                    }
                }
                Err(Errno::AGAIN) => return Received::Open,
                Err(Errno::INTR) => {}
                Err(error) => return self.end(QmpError::Io(error.into())),
            }
        }
        Received::Open
    }

    fn take(&mut self, bytes: &[u8], on_event: &mut dyn FnMut(String)) -> Result<(), QmpError> {
        let pushed = self.lines.push(bytes);
        while let Some(line) = self.lines.next_line() {
            let incoming = match Message::parse(&line) {
                Some(Message::Event { name }) => {
                    on_event(name);
                    continue;
                }
                Some(Message::Greeting) => Incoming::Greeting,
                Some(Message::Answer { id, answer }) => Incoming::Answer { id, answer },
                None if line.is_empty() => continue,
                None => return Err(malformed(&line)),
            };
            self.hand_over(incoming);
        }
        pushed.map_err(|_| QmpError::LineTooLong { limit: LINE_MAX })
    }

    fn end(&mut self, cause: QmpError) -> Received {
        self.hand_over(Incoming::End(cause));
        Received::Closed
    }

    fn hand_over(&self, incoming: Incoming) {
        // An error means that the client is gone, or has enough answers that nobody asked for. It
        // sees the end all the same: this side is dropped then.
        drop(self.sender.try_send(incoming));
    }
}

impl From<Refusal> for QmpError {
    fn from(refusal: Refusal) -> QmpError {
        QmpError::Refused { class: refusal.class, description: refusal.description }
    }
}

fn malformed(line: &[u8]) -> QmpError {
    QmpError::Malformed { line: String::from_utf8_lossy(line).chars().take(80).collect() }
}

#[cfg(test)]
mod tests;
