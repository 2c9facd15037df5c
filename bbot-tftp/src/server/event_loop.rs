//! The thread of a server, which passes packets, commands and deadlines to the engine.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nix::sys::eventfd::EventFd;

use super::command::{Command, Waker};
use super::ports::Ports;
use crate::config::ServerConfig;
use crate::engine::{Engine, Resources};
use crate::error::{Operation, ServerError};
use crate::event::Event;
use crate::net::{
    Inbox, Port, Ready, Token, Watch, reserve_descriptors, sessions_with_descriptors,
};
use crate::protocol::{MAX_TIME, PortId};
use crate::store::{StorageThread, Store};

/// The number of reads of one socket before the others are read.
const READS_IN_TURN: u32 = 8;
/// The number of times that the loop spins without a packet before it stops to spin.
const MAX_IDLE_SPINS: u32 = 4;
/// The maximum time for which a drain reads the packets that have arrived before it.
const READ_ALL: Duration = Duration::from_millis(100);

pub(super) struct EventLoop<F> {
    engine: Engine,
    ports: Ports<F>,
    inbox: Inbox,
    ready: Vec<Ready>,
    commands: Receiver<Command>,
    counter: Arc<EventFd>,
    /// The number of times that the loop has spun without a packet.
    idle_spins: u32,
    /// The time at which the loop ends although transfers are left.
    end_by: Option<Instant>,
}

impl<F: FnMut(Event) + Send + 'static> EventLoop<F> {
    pub(super) fn new(
        listener: Port,
        store: Box<dyn Store>,
        config: ServerConfig,
        events: F,
        commands: Receiver<Command>,
        waker: &Waker,
    ) -> Result<Self, ServerError> {
        let loop_error = |errno: nix::Error| ServerError::new(Operation::EventLoop, errno.into());
        reserve_descriptors(&listener, &config);
        let watch = Watch::new().map_err(loop_error)?;
        watch.add(&listener, Token::Port(PortId::Listener)).map_err(loop_error)?;
        watch.add(waker.counter(), Token::Wake).map_err(loop_error)?;
        let done = {
            let waker = waker.clone();
            move |id, result| waker.send(Command::Committed(id, result))
        };
        let port = listener.local_addr().map_or(0, |address| address.port());
        let storage = StorageThread::start(format!("tftp-disk-{port}"), done)
            .map_err(|source| ServerError::new(Operation::StartThread, source))?;
        let resources = Resources::default()
            .with_listener_buffer(listener.request_receive_buffer(config.receive_buffer))
            .with_max_sessions(sessions_with_descriptors(&config));
        Ok(Self {
            engine: Engine::new(config, store, resources, Instant::now()),
            ports: Ports::new(listener, watch, config, storage, events),
            inbox: Inbox::new(config.offload.batches),
            ready: Vec::new(),
            commands,
            counter: Arc::clone(waker.counter()),
            idle_spins: 0,
            end_by: None,
        })
    }

    pub(super) fn run(mut self) {
        while !self.is_over() {
            self.wait();
            self.handle_ready();
            self.engine.handle_timeout(Instant::now(), &mut self.ports);
        }
        self.ports.storage.stop();
        self.handle_commands();
        self.engine.finish_uploads(Instant::now(), &mut self.ports);
    }

    fn is_over(&self) -> bool {
        self.end_by.is_some_and(|end| self.engine.is_idle() || Instant::now() >= end)
    }

    /// Waits for packets, commands or the next deadline.
    fn wait(&mut self) {
        let deadline = self.engine.poll_timeout().into_iter().chain(self.end_by).min();
        let spin = self.ports.config.spin;
        if !spin.is_zero() && self.idle_spins < MAX_IDLE_SPINS && self.engine.is_lockstep() {
            let until = Instant::now() + spin.min(MAX_TIME);
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            while Instant::now() < until {
                if self.poll(Some(Duration::ZERO)) {
                    self.idle_spins = 0;
                    return;
                }
                // The client may be waiting for this processor.
                std::thread::yield_now();
            }
            self.idle_spins += 1;
        }
        let before = Instant::now();
        self.poll(deadline.map(|at| at.saturating_duration_since(before)));
        // A packet after so short a time would have been found by spinning.
        if before.elapsed() < spin {
            self.idle_spins = 0;
        }
    }

    fn poll(&mut self, timeout: Option<Duration>) -> bool {
        let Ports { watch, transfers, .. } = &mut self.ports;
        watch.wait(transfers, timeout, &mut self.ready);
        !self.ready.is_empty()
    }

    fn handle_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        for Ready { token, has_error } in ready.drain(..) {
            if token == Token::Wake {
                // This resets the counter; an error means that it was 0.
                let _ = self.counter.read();
                self.handle_commands();
                continue;
            }
            if has_error {
                self.ports.collect_errors(token);
            }
            self.read_port(token);
        }
        self.handle_received();
        self.ready = ready;
        while let Some((port, peer)) = self.ports.unreachable.pop() {
            self.engine.handle_unreachable(port, peer, Instant::now(), &mut self.ports);
        }
    }

    /// Reads what a socket has received. It is handled when the inbox is full, or when all sockets
    /// have been read: many reads and then many answers take less time than one by one, because of
    /// the processor's caches, and because clients that get several packets at once are woken less
    /// often.
    fn read_port(&mut self, token: Token) {
        let Some(id) = token.port() else { return };
        for _ in 0..READS_IN_TURN {
            let Some(port) = self.ports.socket(token) else { return };
            let batches = port.takes_batches();
            if self.inbox.is_full() || (batches && !self.inbox.is_empty()) {
                self.handle_received();
            }
            let Some(port) = self.ports.socket(token) else { return };
            if port.receive(id, &mut self.inbox).is_err() {
                return;
            }
            if !batches || !self.inbox.is_full() {
                // The socket was empty; a packet that arrives from now on wakes the loop again.
                return;
            }
        }
    }

    fn handle_received(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        let arrivals: Vec<_> = self.inbox.arrivals().collect();
        self.engine.handle_arrivals(&arrivals, Instant::now(), &mut self.ports);
        drop(arrivals);
        self.inbox.clear();
    }

    fn handle_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            let now = Instant::now();
            match command {
                Command::Committed(id, result) => {
                    self.engine.handle_committed(id, result, now, &mut self.ports);
                }
                Command::Stop => self.end_by = Some(now),
                Command::Drain(limit) => {
                    self.end_within(limit);
                    self.engine.drain(Instant::now(), &mut self.ports);
                }
                Command::FinishUploads(limit) => {
                    self.end_within(limit);
                    self.engine.finish_uploads(Instant::now(), &mut self.ports);
                }
            }
        }
    }

    fn end_within(&mut self, limit: Duration) {
        let now = Instant::now();
        self.end_by = Some(now + limit.min(MAX_TIME));
        self.read_all(now + limit.min(READ_ALL));
    }

    /// Reads all sockets until they are empty: packets that have arrived precede a drain. A flood
    /// does not delay it beyond `until`.
    fn read_all(&mut self, until: Instant) {
        self.handle_received();
        while Instant::now() < until && self.poll(Some(Duration::ZERO)) {
            let tokens: Vec<Token> = self.ready.iter().map(|ready| ready.token).collect();
            if tokens.iter().all(|token| *token == Token::Wake) {
                break;
            }
            for token in tokens {
                self.ports.collect_errors(token);
                self.read_port(token);
            }
            self.handle_received();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::mpsc::channel;

    use super::*;
    use crate::store::{DirStore, Namespace};

    /// A drain, which itself polls the sockets, and a packet become ready in one wait: the packet
    /// is handled, whichever of them comes first.
    fn check_drain_and_packet(order: [Token; 2]) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ServerConfig::default();
        let listener = Port::listener(any, config.offload).unwrap();
        let address = listener.local_addr().unwrap();
        let store = Box::new(DirStore::new(Namespace::new()).unwrap());
        let (commands, received) = channel();
        let waker = Waker::new(commands).unwrap();
        let (sender, events) = channel();
        let report = move |event| sender.send(event).unwrap();
        let mut event_loop =
            EventLoop::new(listener, store, config, report, received, &waker).unwrap();
        let client = UdpSocket::bind(any).unwrap();
        client.send_to(b"\0\x01file\0octet\0", address).unwrap();
        waker.send(Command::Drain(Duration::from_secs(60)));
        event_loop.ready = order.map(|token| Ready { token, has_error: false }).to_vec();
        event_loop.handle_ready();
        assert!(event_loop.is_over());
        let events: Vec<Event> = events.try_iter().collect();
        assert!(matches!(events[..], [Event::FirstRequest { .. }, Event::Refused { .. }]));
    }

    #[test]
    fn a_drain_and_a_packet() {
        let listener = Token::Port(PortId::Listener);
        check_drain_and_packet([Token::Wake, listener]);
        check_drain_and_packet([listener, Token::Wake]);
    }
}
