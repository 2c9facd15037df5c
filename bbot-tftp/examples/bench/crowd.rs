//! Many clients in one loop, so that they take little of the machine for themselves.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use bbot_tftp::{ClientStep, ClientTransfer, Direction, Options, Packet, Rollover, Status};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

use crate::PATIENCE;
use crate::load::Shape;

/// How often the clients' timers are looked at.
const TICK: Duration = Duration::from_millis(5);

struct Member {
    socket: UdpSocket,
    transfer: ClientTransfer,
    server: SocketAddr,
    windowed: bool,
    /// The bytes that came, as long as they were the right ones.
    right: usize,
    is_wrong: bool,
}

/// Clients that are ready to begin.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    members: Vec<Member>,
}

impl Crowd {
    pub(crate) fn new(server: SocketAddr, times: usize, shape: Shape) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let member = |number| Member::new(server, shape, number, &epoll);
        let members = (0..times).map(member).collect();
        Self { epoll, members }
    }

    /// Gets the file `file` for all of them; returns how many copies are wrong.
    ///
    /// What comes is compared at once and not kept: this is about the server, not about the
    /// memory of the clients.
    pub(crate) fn get(&mut self, expected: &[u8]) -> u64 {
        let members = &mut self.members;
        let mut buffer = vec![0; 1 << 16];
        let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [nothing; 64];
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        let mut looked = Instant::now();
        let mut running = members.len();
        for member in members.iter_mut() {
            member.send(looked);
        }
        while running > 0 {
            let count = epoll::wait(&self.epoll, &mut events, Some(&tick)).unwrap_or(0);
            for event in &events[..count] {
                let member = &mut members[usize::try_from(event.data.u64()).unwrap()];
                let was_over = member.is_over();
                member.receive(&mut buffer, expected);
                running -= usize::from(!was_over && member.is_over());
            }
            if looked.elapsed() >= TICK {
                looked = Instant::now();
                for member in members.iter_mut().filter(|member| !member.is_over()) {
                    member.transfer.handle_timeout(looked);
                    member.send(looked);
                    running -= usize::from(member.is_over());
                }
            }
        }
        let is_right = |member: &&Member| !member.is_wrong && member.right == expected.len();
        (members.len() - members.iter().filter(is_right).count()) as u64
    }
}

impl Member {
    fn new(server: SocketAddr, shape: Shape, number: usize, epoll: &OwnedFd) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let windowed = shape.window.is_some();
        if windowed {
            setsockopt(&socket, sockopt::UdpGroSegment, &true).unwrap();
        }
        let token = EventData::new_u64(number as u64);
        epoll::add(epoll, &socket, token, EventFlags::IN).unwrap();
        let (block_size, window_size) = (shape.block, shape.window);
        let asked = Options { block_size, window_size, ..Options::default() };
        let now = Instant::now();
        let transfer =
            ClientTransfer::new(Direction::Get, "file", asked, 0, Rollover::Zero, PATIENCE, now);
        Self { socket, transfer, server, windowed, right: 0, is_wrong: false }
    }

    fn is_over(&self) -> bool {
        !matches!(self.transfer.status(), Status::Active | Status::Committing)
    }

    fn receive(&mut self, buffer: &mut [u8], expected: &[u8]) {
        let Some((length, segment)) = self.take(buffer) else { return };
        let now = Instant::now();
        for datagram in buffer[..length].chunks(segment.max(1)) {
            if let Some(payload) = self.transfer.handle(datagram, now) {
                let rest = expected.get(self.right..).unwrap_or_default();
                self.is_wrong |= !rest.starts_with(payload);
                self.right += payload.len();
            }
        }
        if self.transfer.status() == &Status::Committing {
            self.transfer.committed(now);
        }
        self.send(now);
    }

    /// Receives what is there: its length, and that of each datagram but the last.
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
            // A packet that the kernel does not take is a lost one.
            match step {
                ClientStep::Request => {
                    drop(self.socket.send_to(self.transfer.request(), self.server));
                }
                ClientStep::Ack(block) => {
                    let mut packet = Vec::with_capacity(4);
                    Packet::Ack { block }.encode(&mut packet);
                    drop(self.socket.send(&packet));
                }
                ClientStep::Blocks(..) => return,
            }
        }
    }
}
