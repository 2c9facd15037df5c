//! Commands and their answers, with a limit on every wait.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use qapi::qmp;
use serde_json::Value;

use super::error::QmpError;
use super::incoming::Incoming;

/// The side of a connection that sends commands.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) writer: UnixStream,
    pub(super) received: Receiver<Incoming>,
    next_id: u64,
}

impl Client {
    pub(super) fn new(writer: UnixStream, received: Receiver<Incoming>) -> Client {
        Client { writer, received, next_id: 1 }
    }

    /// Waits for QEMU's greeting, and ends the negotiation that the protocol begins with.
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
        serde_json::from_value(answer).map_err(|_| QmpError::malformed(text.as_bytes()))
    }

    /// Sends a command, and returns its answer as QEMU sent it: for answers that may hold values
    /// that `qapi` does not know.
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
                // A late answer to a command that has timed out.
                Incoming::Answer { .. } | Incoming::Greeting => {}
                Incoming::End(cause) => return Err(cause),
            }
        }
    }

    /// QEMU reads its commands at all times unless it hangs; then a full socket buffer must not
    /// block us.
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
