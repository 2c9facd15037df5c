//! Everything that can wake the instance, and the one channel on which it arrives.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bbot_lock::HostLock;
use bbot_manifest::TaskResponse;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::controller::client::ClientError;
use crate::reports::delivery::Posted;

/// What happened. Closed on purpose: the loop handles all of it.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal came: [`Signals`] says which.
    Signal,
    /// The wait for the host lock is over (W6).
    HostLocked(Result<HostLock, bbot_lock::Error>),
    /// A controller answered a request for a task, or failed to.
    Answer {
        /// Which request it belongs to.
        request: u64,
        /// The answer.
        result: Box<Result<TaskResponse, ClientError>>,
    },
    /// The TFTP server of this sitting has news.
    Tftp {
        /// Which guest's server it is.
        sitting: u64,
        /// The news.
        event: bbot_tftp::Event,
    },
    /// The guest of this sitting has news.
    Guest {
        /// Which guest it is.
        sitting: u64,
        /// The news.
        event: bbot_vm::GuestEvent,
    },
    /// No transfer of this sitting's TFTP server is left.
    Drained {
        /// Which guest's server it was.
        sitting: u64,
    },
    /// The lock of an instance that was interrupted may have changed (W35).
    LocksChanged,
    /// A file was put where a fake machine's result is awaited.
    FileAppeared,
    /// An attempt to deliver an outbox entry ended.
    Posted(Posted),
}

/// The signals that have come. Set by the handlers, read by the loop; SIGUSR1 has no handler, the
/// kernel keeps it until it is taken.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    terminate: Arc<AtomicBool>,
    drain: Arc<AtomicBool>,
    interrupt: Arc<SignalFd>,
}

impl Signals {
    /// Returns whether the agent is to stop now (SIGTERM, SIGINT).
    pub(crate) fn terminated(&self) -> bool {
        self.terminate.load(Ordering::Acquire)
    }

    /// Returns whether the agent is to stop after the task at hand (SIGHUP).
    pub(crate) fn draining(&self) -> bool {
        self.drain.load(Ordering::Acquire)
    }

    /// Returns whether another instance wants the machine (SIGUSR1), and forgets it.
    pub(crate) fn take_interrupt(&self) -> bool {
        matches!(self.interrupt.read_signal(), Ok(Some(_)))
    }

    /// Arms interrupts (W25): one that came before was for an earlier task.
    ///
    /// Called under the host lock, under which alone others send it. What they have sent is with
    /// the kernel, and in no handler that may run late: so nothing of an earlier epoch is in
    /// flight, and a stale [`Event::Signal`] finds nothing.
    pub(crate) fn arm_interrupts(&self) {
        while self.take_interrupt() {}
    }
}

/// The instance's event channel.
#[derive(Debug)]
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
    /// Which signals have come.
    pub(crate) signals: Signals,
}

impl Events {
    /// Opens the channel and installs the signal handlers; `terminated` hears of SIGTERM and SIGINT
    /// even if the loop is busy. SIGUSR1 is blocked in this thread and in those that it starts:
    /// there must be no other.
    pub(crate) fn new(terminated: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let interrupt = Arc::new(keep_interrupts()?);
        announce(Arc::clone(&interrupt), sender.clone())?;
        let signals = Signals { terminate: Arc::default(), drain: Arc::default(), interrupt };
        install(&signals, sender.clone(), terminated)?;
        Ok(Self { sender, receiver, signals })
    }

    /// Returns a sender for a thread that has news.
    pub(crate) fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// Waits for the next event, until `deadline` at most; `None` if it has passed.
    pub(crate) fn next(&self, deadline: Instant) -> Option<Event> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.receiver.recv_timeout(left) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender ourselves"),
        }
    }
}

/// Each handler first sets its flag and then wakes the loop through a pipe.
fn install(
    signals: &Signals,
    sender: Sender<Event>,
    mut terminated: impl FnMut() + Send + 'static,
) -> io::Result<()> {
    let (mut reader, writer) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        // W40: a second one ends the process at once. Registered first: it must not see the flag
        // that the same signal sets.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&signals.terminate))?;
        flag::register(signal, Arc::clone(&signals.terminate))?;
    }
    flag::register(SIGHUP, Arc::clone(&signals.drain))?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    let signals = signals.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut bytes = [0; 64];
        while matches!(reader.read(&mut bytes), Ok(1..)) && sender.send(Event::Signal).is_ok() {
            if signals.terminated() {
                terminated();
            }
        }
    })?;
    Ok(())
}

/// Lets the kernel keep SIGUSR1 until it is read.
fn keep_interrupts() -> nix::Result<SignalFd> {
    let interrupt = SigSet::from(Signal::SIGUSR1);
    interrupt.thread_block()?;
    SignalFd::with_flags(&interrupt, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Wakes the loop for each interrupt that comes; to take it is the loop's affair.
fn announce(interrupt: Arc<SignalFd>, sender: Sender<Event>) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    // Once for each: what nobody takes, since no task runs, is not announced again.
    epoll.add(&interrupt, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
    thread::Builder::new().name("interrupts".into()).spawn(move || {
        // Kept, for as long as it is waited for.
        let _interrupt = interrupt;
        let mut events = [EpollEvent::empty()];
        loop {
            match epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::Error::EINTR) => {}
                Ok(_) if sender.send(Event::Signal).is_ok() => {}
                _ => return,
            }
        }
    })?;
    Ok(())
}

/// Far enough away to stand for "no deadline".
pub(crate) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    /// W25: an interrupt of an earlier epoch is ignored, one after arming is seen.
    #[test]
    fn arming_begins_a_new_epoch() {
        let events = Events::new(|| ()).unwrap();
        // To this thread alone: those of the test's harness do not block it.
        raise(Signal::SIGUSR1).unwrap();
        events.signals.arm_interrupts();
        assert!(!events.signals.take_interrupt());
        raise(Signal::SIGUSR1).unwrap();
        assert!(events.signals.take_interrupt());
        assert!(!events.signals.take_interrupt());
        assert!(!events.signals.terminated());
    }

    #[test]
    fn the_deadline_ends_the_wait() {
        let events = Events::new(|| ()).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        while let Some(event) = events.next(deadline) {
            // Another test of this process may raise a signal meanwhile.
            assert!(matches!(event, Event::Signal));
        }
        assert!(Instant::now() >= deadline);
    }
}
