//! The one channel on which all events of the instance arrive.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use super::event::Event;
use super::signals::Signals;

/// The instance's event channel, and the signals that it announces.
#[derive(Debug)]
pub(crate) struct EventChannel {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    pub(super) signals: Signals,
}

impl EventChannel {
    /// Opens the channel and installs the signal handlers; `on_terminate` is called for SIGTERM and
    /// SIGINT even if the loop is busy.
    ///
    /// SIGUSR1 is blocked in the calling thread and in those that it starts: there must be no
    /// other.
    pub(crate) fn open(on_terminate: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let signals = Signals::install(&sender, on_terminate)?;
        Ok(Self { sender, receiver, signals })
    }

    pub(crate) fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Waits for the next event, until `deadline` at most; `None` if it has passed.
    pub(super) fn next(&self, deadline: Instant) -> Option<Event> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.receiver.recv_timeout(left) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender ourselves"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_deadline_ends_the_wait() {
        let channel = EventChannel::open(|| ()).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        while let Some(event) = channel.next(deadline) {
            // Another test of this process may raise a signal meanwhile.
            assert!(matches!(event, Event::Signal));
        }
        assert!(Instant::now() >= deadline);
    }
}
