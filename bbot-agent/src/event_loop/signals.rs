//! The signals that concern the instance.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::event::Event;

/// The signals that have arrived. Set by the handlers, read by the loop; SIGUSR1 has no handler:
/// it stays pending in the kernel until it is taken.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    terminate: Arc<AtomicBool>,
    drain: Arc<AtomicBool>,
    interrupt: Arc<SignalFd>,
}

impl Signals {
    /// Installs the handlers; each signal sends [`Event::Signal`] through `sender`, and SIGTERM and
    /// SIGINT call `on_terminate` as well.
    pub(super) fn install(
        sender: &Sender<Event>,
        on_terminate: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let interrupt = Arc::new(block_interrupts()?);
        announce_interrupts(Arc::clone(&interrupt), sender.clone())?;
        let signals = Self { terminate: Arc::default(), drain: Arc::default(), interrupt };
        signals.install_handlers(sender.clone(), on_terminate)?;
        Ok(signals)
    }

    /// Returns whether the agent is to stop now (SIGTERM, SIGINT).
    pub(crate) fn terminated(&self) -> bool {
        self.terminate.load(Ordering::Acquire)
    }

    /// Returns whether the agent is to begin nothing new (SIGTERM, SIGINT, SIGHUP).
    pub(crate) fn is_stopping(&self) -> bool {
        self.terminated() || self.drain.load(Ordering::Acquire)
    }

    /// Returns whether another instance wants the machine (SIGUSR1), and forgets it.
    pub(crate) fn take_interrupt(&self) -> bool {
        matches!(self.interrupt.read_signal(), Ok(Some(_)))
    }

    /// Arms interrupts (W25): one that came before was for an earlier task.
    ///
    /// Call it under the host lock, under which alone other instances send SIGUSR1. What they have
    /// sent is pending in the kernel, not in a handler that may run late: so no signal of an
    /// earlier epoch is in flight, and a stale [`Event::Signal`] finds none pending.
    pub(crate) fn arm_interrupts(&self) {
        while self.take_interrupt() {}
    }

    /// Each handler first sets its flag and then wakes the loop through a pipe.
    fn install_handlers(
        &self,
        sender: Sender<Event>,
        mut on_terminate: impl FnMut() + Send + 'static,
    ) -> io::Result<()> {
        let (mut reader, writer) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            // W40: a second one ends the process at once. Registered first: it must not see the
            // flag that the same signal sets.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&self.terminate))?;
            flag::register(signal, Arc::clone(&self.terminate))?;
        }
        flag::register(SIGHUP, Arc::clone(&self.drain))?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        let signals = self.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut bytes = [0; 64];
            while matches!(reader.read(&mut bytes), Ok(1..)) && sender.send(Event::Signal).is_ok() {
                if signals.terminated() {
                    on_terminate();
                }
            }
        })?;
        Ok(())
    }
}

/// Blocks SIGUSR1 and returns the descriptor from which it is read.
fn block_interrupts() -> nix::Result<SignalFd> {
    let interrupt = SigSet::from(Signal::SIGUSR1);
    interrupt.thread_block()?;
    SignalFd::with_flags(&interrupt, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Wakes the loop for each SIGUSR1 that arrives; the loop itself reads it.
fn announce_interrupts(interrupt: Arc<SignalFd>, sender: Sender<Event>) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    // Edge-triggered: one that stays pending, as no task runs, is not announced again.
    epoll.add(&interrupt, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
    thread::Builder::new().name("interrupts".into()).spawn(move || {
        // The descriptor must stay open while the thread waits for it.
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use nix::sys::signal::raise;

    use super::*;

    /// W25: an interrupt of an earlier epoch is ignored, one after arming is seen.
    #[test]
    fn arming_begins_a_new_epoch() {
        let (sender, _receiver) = channel();
        let signals = Signals::install(&sender, || ()).unwrap();
        // To this thread alone: those of the test's harness do not block it.
        raise(Signal::SIGUSR1).unwrap();
        signals.arm_interrupts();
        assert!(!signals.take_interrupt());
        raise(Signal::SIGUSR1).unwrap();
        assert!(signals.take_interrupt());
        assert!(!signals.take_interrupt());
        assert!(!signals.terminated());
    }
}
