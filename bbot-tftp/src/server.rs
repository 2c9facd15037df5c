//! The event loop around an [`Engine`]: sockets and threads.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::config::{Route, ServerConfig};
use crate::descriptors;
use crate::directory::{DirStore, Namespace};
use crate::engine::{Engine, Host, LISTENER, Sent};
use crate::error::{Operation, ServerError};
use crate::event::Event;
use crate::ids::IdMap;
use crate::storage_thread::StorageThread;
use crate::store::{Sink, Store, StoreError};
use crate::udp::{Inbox, Port, Report};
use crate::watch::{Ready, Watch};

/// The token of the wake-up descriptor; transfers count upwards from the listener's 0.
const WAKE: u64 = u64::MAX;
/// Marks the token of the port that strangers reach at the address of a connected one.
const STRANGERS: u64 = 1 << 62;
/// Reads of one port before the others have their turn.
const READS_IN_TURN: u32 = 8;
/// Spins in vain before the loop gives up spinning.
const VAIN_SPINS: u32 = 4;

/// A bound server that does not serve yet.
pub struct Server {
    listener: Port,
    address: SocketAddr,
    store: Box<dyn Store>,
    config: ServerConfig,
}

impl Server {
    /// Binds a server of the namespace's folders. Port 0 means any free one.
    ///
    /// # Errors
    /// The address cannot be bound, or a folder cannot be opened.
    pub fn bind(
        address: SocketAddr,
        namespace: Namespace,
        config: ServerConfig,
    ) -> Result<Self, ServerError> {
        Self::with_store(address, DirStore::new(namespace)?, config)
    }

    /// Binds a server of any store.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn with_store(
        address: SocketAddr,
        store: impl Store + 'static,
        config: ServerConfig,
    ) -> Result<Self, ServerError> {
        let cannot = |source| ServerError::new(Operation::Bind(address), source);
        let mut listener = Port::listener(address, config.offload).map_err(cannot)?;
        if config.single_port {
            listener.expect_windows();
        }
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Self { listener, address, store: Box::new(store), config })
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves, on a thread of its own, until the handle is stopped or dropped.
    ///
    /// `events` is called on that thread, and should not take long.
    ///
    /// # Errors
    /// There are no threads or descriptors left.
    pub fn spawn(
        self,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<ServerHandle, ServerError> {
        let (commands, received) = channel();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| ServerError::new(Operation::EventLoop, e.into()))?;
        let waker = Waker { commands, wake: Arc::new(wake) };
        let (address, name) = (self.address, format!("tftp-{}", self.address.port()));
        let running = Loop::new(self, events, received, &waker)?;
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || running.run())
            .map_err(|e| ServerError::new(Operation::StartThread, e))?;
        Ok(ServerHandle { address, waker, thread: Some(thread) })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// The address that it serves.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends all transfers and waits for the threads.
    pub fn stop(mut self) {
        self.end(Command::Stop);
    }

    /// Lets those uploads finish whose data is all here, but no longer than `limit`; ends all
    /// other transfers, and waits for the threads.
    pub fn drain(mut self, limit: Duration) {
        self.end(Command::Drain(limit));
    }

    fn end(&mut self, command: Command) {
        if let Some(thread) = self.thread.take() {
            self.waker.send(command);
            // A panic in the embedder's event callback was reported on its own thread.
            drop(thread.join());
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.end(Command::Stop);
    }
}

#[derive(Debug)]
enum Command {
    Stop,
    Drain(Duration),
    Committed(u64, Result<(), StoreError>),
}

/// Reaches the loop from other threads.
#[derive(Clone, Debug)]
struct Waker {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
}

impl Waker {
    fn send(&self, command: Command) {
        // Neither fails as long as the loop runs; later there is nobody to tell.
        drop(self.commands.send(command));
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

struct Loop<F> {
    engine: Engine,
    shell: Shell<F>,
    inbox: Inbox,
    ready: Vec<Ready>,
    commands: Receiver<Command>,
    wake: Arc<OwnedFd>,
    vain_spins: u32,
    /// When the loop ends although transfers are left.
    end_by: Option<Instant>,
}

impl<F: FnMut(Event) + Send + 'static> Loop<F> {
    fn new(
        server: Server,
        events: F,
        commands: Receiver<Command>,
        waker: &Waker,
    ) -> Result<Self, ServerError> {
        let Server { listener, address, store, config } = server;
        let cannot = |source| ServerError::new(Operation::EventLoop, source);
        descriptors::make_room(&listener, &config);
        let watch = Watch::new().map_err(|e| cannot(e.into()))?;
        watch.add(&listener, LISTENER).map_err(|e| cannot(e.into()))?;
        watch.add(&waker.wake, WAKE).map_err(|e| cannot(e.into()))?;
        let done = {
            let waker = waker.clone();
            move |id, result| waker.send(Command::Committed(id, result))
        };
        let storage = StorageThread::start(format!("tftp-disk-{}", address.port()), done)
            .map_err(|e| ServerError::new(Operation::StartThread, e))?;
        let buffer = listener.receive_buffer(config.receive_buffer);
        let (ports, strangers) = (IdMap::default(), IdMap::default());
        let refused = Vec::new();
        let shell = Shell { listener, ports, strangers, watch, config, storage, events, refused };
        Ok(Self {
            engine: Engine::new(config, store, buffer, descriptors::slots(&config), Instant::now()),
            shell,
            inbox: Inbox::new(config.offload.batches),
            ready: Vec::new(),
            commands,
            wake: Arc::clone(&waker.wake),
            vain_spins: 0,
            end_by: None,
        })
    }

    fn run(mut self) {
        while !self.is_over() {
            self.wait();
            self.handle_ready();
            self.engine.handle_timeout(Instant::now(), &mut self.shell);
        }
        self.shell.storage.stop();
        self.handle_commands();
        self.engine.drain(Instant::now(), &mut self.shell);
    }

    fn is_over(&self) -> bool {
        self.end_by.is_some_and(|end| self.engine.is_idle() || Instant::now() >= end)
    }

    /// Waits for packets, commands or the next deadline.
    fn wait(&mut self) {
        let deadline = self.engine.poll_timeout().into_iter().chain(self.end_by).min();
        let spin = self.shell.config.spin;
        if !spin.is_zero() && self.vain_spins < VAIN_SPINS && self.engine.is_lockstep() {
            let until = Instant::now() + spin;
            while Instant::now() < until {
                if self.poll(Some(Duration::ZERO)) {
                    self.vain_spins = 0;
                    return;
                }
                // The client may be waiting for this very processor.
                std::thread::yield_now();
            }
            self.vain_spins += 1;
        }
        let before = Instant::now();
        self.poll(deadline.map(|at| at.saturating_duration_since(before)));
        // What came so soon would have been found by spinning.
        if before.elapsed() < spin {
            self.vain_spins = 0;
        }
    }

    fn poll(&mut self, timeout: Option<Duration>) -> bool {
        let Shell { watch, ports, .. } = &mut self.shell;
        watch.wait(ports, timeout, &mut self.ready);
        !self.ready.is_empty()
    }

    fn handle_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        for Ready { token, has_error } in ready.drain(..) {
            if token == WAKE {
                let mut count = [0; 8];
                // Only empties the counter.
                let _ = rustix::io::read(&self.wake, &mut count);
                self.handle_commands();
                continue;
            }
            if has_error {
                self.shell.collect_errors(token);
            }
            self.read_port(token);
        }
        self.handle_received();
        self.ready = ready;
        while let Some((port, peer)) = self.shell.refused.pop() {
            self.engine.handle_unreachable(port, peer, Instant::now(), &mut self.shell);
        }
    }

    /// Takes what a port has received. It is handled when the inbox is full, or when all ports
    /// had their turn: many reads and then many answers take less time than one by one, for the
    /// processor, and because clients that get much at once need not be woken as often.
    fn read_port(&mut self, token: u64) {
        for _ in 0..READS_IN_TURN {
            let Some(port) = self.shell.port(token) else { return };
            let batches = port.takes_batches();
            if self.inbox.is_full() || (batches && !self.inbox.is_empty()) {
                self.handle_received();
            }
            let Some(port) = self.shell.port(token) else { return };
            if port.receive(token & !STRANGERS, &mut self.inbox).is_err() {
                return;
            }
            if !batches || !self.inbox.is_full() {
                // There was no more; what comes meanwhile wakes the loop again.
                return;
            }
        }
    }

    fn handle_received(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        let arrivals: Vec<_> = self.inbox.arrivals().collect();
        self.engine.handle_arrivals(&arrivals, Instant::now(), &mut self.shell);
        drop(arrivals);
        self.inbox.clear();
    }

    fn handle_commands(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            let now = Instant::now();
            match command {
                Command::Committed(id, result) => {
                    self.engine.handle_committed(id, result, now, &mut self.shell);
                }
                Command::Stop => self.end_by = Some(now),
                Command::Drain(limit) => {
                    self.end_by = Some(now + limit);
                    self.read_all();
                    self.engine.drain(now, &mut self.shell);
                }
            }
        }
    }

    /// Reads until nothing is left: data that is already here counts as arrived.
    fn read_all(&mut self) {
        self.handle_received();
        while self.poll(Some(Duration::ZERO)) {
            let tokens: Vec<u64> = self.ready.iter().map(|ready| ready.token).collect();
            if tokens.iter().all(|token| *token == WAKE) {
                break;
            }
            for token in tokens.into_iter().filter(|token| *token != WAKE) {
                self.shell.collect_errors(token);
                self.read_port(token);
            }
            self.handle_received();
        }
    }
}

/// The world as the engine sees it.
struct Shell<F> {
    listener: Port,
    ports: IdMap<Port>,
    /// What strangers reach at the addresses of those ports that are connected.
    strangers: IdMap<Port>,
    watch: Watch,
    config: ServerConfig,
    storage: StorageThread,
    events: F,
    /// Peers whose ports are closed, and the port that found out.
    refused: Vec<(u64, SocketAddr)>,
}

impl<F> Shell<F> {
    fn port(&self, token: u64) -> Option<&Port> {
        match token {
            LISTENER => Some(&self.listener),
            _ if token & STRANGERS != 0 => self.strangers.get(&(token & !STRANGERS)),
            _ => self.ports.get(&token),
        }
    }

    /// Lets the rest of a transfer cost less. What strangers send still comes to the server,
    /// which answers it.
    fn connect(&mut self, id: u64) -> io::Result<()> {
        if let Some(port) = self.ports.get_mut(&id) {
            let strangers = port.share_address()?;
            self.watch.add(&strangers, id | STRANGERS)?;
            port.connect()?;
            self.strangers.insert(id, strangers);
        }
        Ok(())
    }

    fn collect_errors(&mut self, token: u64) {
        while let Some(report) = self.port(token).and_then(Port::next_error) {
            if let Report::ClosedPort(peer) = report {
                self.refused.push((token, peer));
            }
        }
    }
}

impl<F: FnMut(Event)> Host for Shell<F> {
    fn open_port(&mut self, id: u64, route: &Route, buffer: usize) -> io::Result<usize> {
        let any: IpAddr = match route.peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let address = SocketAddr::new(route.local.unwrap_or(any), 0);
        let mut port = Port::bind(address, self.config.offload)?.of_transfer(route.peer);
        let room = port.receive_buffer(buffer);
        if buffer > 0 {
            port.expect_windows();
        }
        self.watch.add(&port, id)?;
        self.ports.insert(id, port);
        Ok(room)
    }

    fn close_port(&mut self, id: u64) {
        self.ports.remove(&id);
        self.strangers.remove(&id);
    }

    fn send(&mut self, id: u64, route: &Route, datagrams: &[u8], segment: usize) -> Sent {
        let port = self.ports.get_mut(&id).unwrap_or(&mut self.listener);
        let sent = port.send(route, datagrams, segment);
        if port.is_worth_connecting() {
            // Where it fails, the transfer goes on as before.
            drop(self.connect(id));
        }
        sent
    }

    fn commit(&mut self, id: u64, sink: Box<dyn Sink>) {
        self.storage.commit(id, sink);
    }

    fn event(&mut self, event: Event) {
        (self.events)(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A drain, which itself looks for what is ready, comes with a packet in one wait: the packet
    /// counts as arrived, whichever of them is seen first.
    fn check_drain_among_packets(order: [u64; 2]) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ServerConfig::default();
        let server = Server::bind(any, Namespace::new(), config).unwrap();
        let address = server.local_addr();
        let (commands, received) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).unwrap());
        let waker = Waker { commands, wake };
        let (sender, events) = channel();
        let report = move |event| sender.send(event).unwrap();
        let mut running = Loop::new(server, report, received, &waker).unwrap();
        let client = std::net::UdpSocket::bind(any).unwrap();
        client.send_to(b"\0\x01file\0octet\0", address).unwrap();
        waker.send(Command::Drain(Duration::from_secs(60)));
        running.ready = order.map(|token| Ready { token, has_error: false }).to_vec();
        running.handle_ready();
        assert!(running.is_over());
        let events: Vec<Event> = events.try_iter().collect();
        assert!(matches!(events[..], [Event::FirstRequest { .. }, Event::Refused { .. }]));
    }

    #[test]
    fn a_drain_among_packets() {
        check_drain_among_packets([WAKE, LISTENER]);
        check_drain_among_packets([LISTENER, WAKE]);
    }
}
