//! Many clients in one loop, so that they take little of the machine for themselves.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use bbot_tftp::{ClientStep, ClientTransfer, Direction, Options, Packet, Rollover, Status};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::PATIENCE;
use crate::load::Shape;

/// How often the clients' timers are looked at.
const TICK: Duration = Duration::from_millis(5);

struct Member {
    socket: UdpSocket,
    transfer: ClientTransfer,
    peer: SocketAddr,
    got: Vec<u8>,
}

/// Clients that are ready to begin.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    members: Vec<Member>,
}

impl Crowd {
    pub(crate) fn new(server: SocketAddr, times: usize, shape: Shape, length: usize) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let member = |number| Member::new(server, shape, number, &epoll, length);
        let members = (0..times).map(member).collect();
        Self { epoll, members }
    }

    /// Gets the file `file` for all of them; returns how many copies are wrong.
    pub(crate) fn get(&mut self, expected: &[u8]) -> u64 {
        let members = &mut self.members;
        let mut buffer = vec![0; 1 << 16];
        let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [nothing; 64];
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        let mut looked = Instant::now();
        let mut running = members.len();
        for member in members.iter_mut() {
            member.send();
        }
        while running > 0 {
            let count = epoll::wait(&self.epoll, &mut events, Some(&tick)).unwrap_or(0);
            for event in &events[..count] {
                let member = &mut members[usize::try_from(event.data.u64()).unwrap()];
                let was_over = member.is_over();
                member.receive(&mut buffer);
                running -= usize::from(!was_over && member.is_over());
            }
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                for member in members.iter_mut().filter(|member| !member.is_over()) {
                    member.transfer.handle_timeout(looked);
                    member.send();
                    running -= usize::from(member.is_over());
                }
            }
        }
        members.iter().filter(|member| member.got != expected).count() as u64
    }
}

impl Member {
    fn new(
        server: SocketAddr,
        shape: Shape,
        number: usize,
        epoll: &OwnedFd,
        length: usize,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        if shape.window.is_some() {
            setsockopt(&socket, sockopt::UdpGroSegment, &true).unwrap();
        }
        let token = EventData::new_u64(number as u64);
        epoll::add(epoll, &socket, token, EventFlags::IN).unwrap();
        let (block_size, window_size) = (shape.block, shape.window);
        let asked = Options { block_size, window_size, ..Options::default() };
        let now = Instant::now();
        let transfer =
            ClientTransfer::new(Direction::Get, "file", asked, 0, Rollover::Zero, PATIENCE, now);
        // Written once, so that no page is missing later.
        let mut got = vec![1; length];
        got.clear();
        Self { socket, transfer, peer: server, got }
    }

    fn is_over(&self) -> bool {
        !matches!(self.transfer.status(), Status::Active | Status::Committing)
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        let mut control = nix::cmsg_space!(i32);
        let mut slices = [IoSliceMut::new(buffer)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags);
        let Ok(message) = message else { return };
        let (length, mut segment) = (message.bytes, message.bytes);
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::UdpGroSegments(size) = control {
                segment = usize::try_from(size).unwrap();
            }
        }
        let from = message.address.and_then(|a| a.as_sockaddr_in().copied());
        let Some(from) = from else { return };
        let now = Instant::now();
        for datagram in buffer[..length].chunks(segment.max(1)) {
            if let Some(payload) = self.transfer.handle(datagram, now) {
                self.got.extend_from_slice(payload);
            }
        }
        if self.transfer.is_answered() {
            self.peer = SocketAddr::V4(from.into());
        }
        if self.transfer.status() == &Status::Committing {
            self.transfer.committed(now);
        }
        self.send();
    }

    fn send(&mut self) {
        while let Some(step) = self.transfer.poll_transmit(Instant::now()) {
            let mut packet = Vec::with_capacity(4);
            match step {
                ClientStep::Request => packet.extend(self.transfer.request()),
                ClientStep::Ack(block) => Packet::Ack { block }.encode(&mut packet),
                ClientStep::Blocks(..) => return,
            }
            // A packet that the kernel does not take is a lost one.
            drop(self.socket.send_to(&packet, self.peer));
        }
    }
}
