//! Many clients on one thread, so that they use little of the machine's time.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bbot_tftp::{ClientParameters, ClientStep, ClientTransfer, Options, Packet, Status};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

use crate::IDLE_LIMIT;
use crate::load::Shape;

/// The interval in which the clients' deadlines are checked, in milliseconds.
const TICK_MS: u8 = 5;
const TICK: Duration = Duration::from_millis(TICK_MS as u64);

struct ConcurrentClient {
    socket: UdpSocket,
    transfer: ClientTransfer,
    server: SocketAddr,
    windowed: bool,
    /// The number of bytes that were received.
    received: usize,
    /// They differ from the expected ones.
    is_wrong: bool,
}

/// Clients that are ready to begin.
pub(crate) struct ConcurrentClients {
    epoll: Epoll,
    clients: Vec<ConcurrentClient>,
}

impl ConcurrentClients {
    pub(crate) fn new(server: SocketAddr, times: usize, shape: Shape) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let client = |number| ConcurrentClient::new(server, shape, number, &epoll);
        let clients = (0..times).map(client).collect();
        Self { epoll, clients }
    }

    /// Gets the file `file` by all clients; returns the number of wrong copies.
    ///
    /// Blocks are compared at once and not kept, so that the clients use little memory.
    pub(crate) fn get(&mut self, expected: &[u8]) -> u64 {
        let clients = &mut self.clients;
        let mut buffer = vec![0; 1 << 16];
        let mut events = [EpollEvent::empty(); 64];
        let mut checked = Instant::now();
        let mut running = clients.len();
        for client in clients.iter_mut() {
            client.send(checked);
        }
        while running > 0 {
            let count = self.epoll.wait(&mut events, TICK_MS).unwrap_or(0);
            for event in &events[..count] {
                let client = &mut clients[usize::try_from(event.data()).unwrap()];
                let was_over = client.is_over();
                client.receive(&mut buffer, expected);
                running -= usize::from(!was_over && client.is_over());
            }
            if checked.elapsed() >= TICK {
                checked = Instant::now();
                for client in clients.iter_mut().filter(|client| !client.is_over()) {
                    client.transfer.handle_timeout(checked);
                    client.send(checked);
                    running -= usize::from(client.is_over());
                }
            }
        }
        let is_right =
            |client: &&ConcurrentClient| !client.is_wrong && client.received == expected.len();
        (clients.len() - clients.iter().filter(is_right).count()) as u64
    }
}

impl ConcurrentClient {
    fn new(server: SocketAddr, shape: Shape, number: usize, epoll: &Epoll) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let windowed = shape.window_size.is_some();
        if windowed {
            setsockopt(&socket, sockopt::UdpGroSegment, &true).unwrap();
        }
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64)).unwrap();
        let Shape { block_size, window_size } = shape;
        let options = Options { block_size, window_size, ..Options::default() };
        let parameters =
            ClientParameters::default().with_options(options).with_idle_limit(IDLE_LIMIT);
        let transfer = ClientTransfer::get("file", parameters, Instant::now());
        Self { socket, transfer, server, windowed, received: 0, is_wrong: false }
    }

    fn is_over(&self) -> bool {
        !matches!(self.transfer.status(), Status::Active | Status::Committing)
    }

    fn receive(&mut self, buffer: &mut [u8], expected: &[u8]) {
        let Some((length, segment)) = self.take(buffer) else { return };
        let now = Instant::now();
        for datagram in buffer[..length].chunks(segment.max(1)) {
            if let Some(payload) = self.transfer.handle(datagram, now) {
                let rest = expected.get(self.received..).unwrap_or_default();
                self.is_wrong |= !rest.starts_with(payload);
                self.received += payload.len();
            }
        }
        if self.transfer.status() == &Status::Committing {
            self.transfer.committed(now);
        }
        self.send(now);
    }

    /// Receives datagrams; returns their length, and that of each but the last.
    fn take(&mut self, buffer: &mut [u8]) -> Option<(usize, usize)> {
        if !self.transfer.is_answered() {
            let (length, from) = self.socket.recv_from(buffer).ok()?;
            self.socket.connect(from).unwrap();
            return Some((length, length));
        }
        if !self.windowed {
            return self.socket.recv(buffer).ok().map(|length| (length, length));
        }
        let mut control = nix::cmsg_space!(i32);
        let mut slices = [IoSliceMut::new(buffer)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<()>(fd, &mut slices, Some(&mut control), flags).ok()?;
        let (length, mut segment) = (message.bytes, message.bytes);
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::UdpGroSegments(size) = control {
                segment = usize::try_from(size).unwrap();
            }
        }
        Some((length, segment))
    }

    fn send(&mut self, now: Instant) {
        while let Some(step) = self.transfer.poll_transmit(now) {
            // A packet that the kernel does not accept is lost.
            match step {
                ClientStep::Request => {
                    drop(self.socket.send_to(self.transfer.request(), self.server));
                }
                ClientStep::Ack(block) => {
                    let mut packet = Vec::with_capacity(4);
                    Packet::Ack { block }.encode(&mut packet);
                    drop(self.socket.send(&packet));
                }
                ClientStep::Blocks { .. } => return,
            }
        }
    }
}
