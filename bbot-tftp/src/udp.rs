//! One UDP socket: many packets by one call where the kernel can, one by one where not.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, recvmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt as so};

use crate::config::{Offload, Route};
use crate::engine::{Arrival, Sent};

/// One receive buffer holds the greatest datagram, or as much as the kernel coalesces.
const SLOT: usize = 1 << 16;
/// Datagrams that one `recvmmsg` takes.
const BATCH: usize = 16;
/// Groups of datagrams that are handled together: few enough for the first clients to have their
/// answers, and to answer, while the last are still answered.
const TOGETHER: usize = 64;
/// The most segments and bytes of one `UDP_SEGMENT` send (the kernel's limits for IPv4).
const SEGMENTS: usize = 64;
const SEGMENTED_BYTES: usize = 65507;
/// Packets to a client, or groups of them: the rest of the transfer then pays for connecting.
const SENDS_BEFORE_CONNECTING: u32 = 16;

/// A bound socket that does not block.
#[derive(Debug)]
pub(crate) struct Port {
    socket: UdpSocket,
    offload: Offload,
    /// Packets name the local address that they came to, and leave from it.
    multihomed: bool,
    /// Packets come in windows: the kernel may hand over many as one.
    coalescing: bool,
    /// Packets come in windows or from many senders: one call takes many.
    batches: bool,
    /// The client, if the port is one transfer's.
    client: Option<Counterpart>,
}

/// The client of a transfer.
#[derive(Debug)]
struct Counterpart {
    address: SocketAddr,
    /// How many packets, or groups of them, were sent to it.
    sends: u32,
    /// The kernel knows the way to it, and need not look for it with each packet.
    connected: bool,
}

/// What the kernel tells of a packet that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Nobody listens there.
    ClosedPort(SocketAddr),
    /// A trouble that may pass.
    Passing,
}

/// Room for what one or several calls receive. Packets that come one by one lie close together,
/// however many: ACKs of hundreds of clients fill a few lines of the processor's cache.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    /// The first so many bytes were received into.
    used: usize,
    filled: Vec<Filled>,
}

/// What lies where in the buffer.
#[derive(Clone, Copy, Debug)]
struct Filled {
    /// The number of the port that received it.
    port: u64,
    start: usize,
    length: usize,
    segment: usize,
    route: Route,
}

impl Inbox {
    /// Makes room for one datagram, or for as many as one call takes.
    pub(crate) fn new(batches: bool) -> Self {
        let count = if batches { BATCH } else { 1 };
        Self { buffer: vec![0; count * SLOT], used: 0, filled: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Tells whether there is no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() - self.used < SLOT || self.filled.len() >= TOGETHER
    }

    /// Forgets what was received.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.filled.clear();
    }

    /// Groups of datagrams, in the order in which they were received.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.filled.iter().map(|f| {
            let bytes = &self.buffer[f.start..][..f.length];
            Arrival { port: f.port, route: f.route, bytes, segment: f.segment }
        })
    }

    /// The room that one datagram may take.
    fn slot(&mut self) -> &mut [u8] {
        &mut self.buffer[self.used..][..SLOT]
    }
}

impl Port {
    /// Binds a listener; packets tell which local address they came to.
    pub(crate) fn listener(address: SocketAddr, offload: Offload) -> io::Result<Self> {
        let mut port = Self::bind(address, offload)?;
        match address {
            SocketAddr::V4(_) => setsockopt(&port.socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&port.socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        port.multihomed = true;
        port.batches = offload.batches;
        Ok(port)
    }

    /// Binds a port for one transfer.
    pub(crate) fn bind(address: SocketAddr, offload: Offload) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        // Without this, a socket that is not connected never hears of a closed port.
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
        }
        Ok(Self::new(socket, offload))
    }

    fn new(socket: UdpSocket, offload: Offload) -> Self {
        Self { socket, offload, multihomed: false, coalescing: false, batches: false, client: None }
    }

    /// Counts what is sent to the client of one transfer.
    pub(crate) fn of_transfer(self, address: SocketAddr) -> Self {
        Self { client: Some(Counterpart { address, sends: 0, connected: false }), ..self }
    }

    /// Tells whether the transfer is long enough to pay for [`connect`](Self::connect).
    pub(crate) fn is_worth_connecting(&self) -> bool {
        let is_due = |c: &Counterpart| !c.connected && c.sends == SENDS_BEFORE_CONNECTING;
        self.client.as_ref().is_some_and(is_due)
    }

    /// Binds another port to the same address. Once this one is connected, the packets of all
    /// but the client come to the other; until then they may come to either.
    pub(crate) fn share_address(&self) -> io::Result<Self> {
        let address = self.local_addr()?;
        // Nobody else may use the address: it is shared for this moment only.
        so::set_socket_reuseport(&self.socket, true)?;
        let other = bind_shared(address);
        so::set_socket_reuseport(&self.socket, false)?;
        Ok(Self::new(other?, self.offload))
    }

    /// Connects to the client: each packet to it then costs less.
    pub(crate) fn connect(&mut self) -> io::Result<()> {
        let Some(client) = &mut self.client else { return Ok(()) };
        self.socket.connect(client.address)?;
        client.connected = true;
        Ok(())
    }

    /// Prepares for windows of data: many datagrams at once, as far as the kernel can.
    pub(crate) fn expect_windows(&mut self) {
        self.coalescing = self.offload.coalescing
            && setsockopt(&self.socket, sockopt::UdpGroSegment, &true).is_ok();
        self.batches = self.offload.batches;
    }

    /// Asks for a receive buffer; returns what the kernel counts by.
    pub(crate) fn receive_buffer(&self, wished: usize) -> usize {
        if wished > 0 && so::set_socket_recv_buffer_size_force(&self.socket, wished / 2).is_err() {
            // Without the privilege the system's limit holds; what it gives is read below.
            let _ = so::set_socket_recv_buffer_size(&self.socket, wished / 2);
        }
        so::socket_recv_buffer_size(&self.socket).unwrap_or(0)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Tells whether one call of [`receive`](Self::receive) takes all free slots of an inbox.
    pub(crate) fn takes_batches(&self) -> bool {
        self.batches
    }

    /// Adds what is there to an inbox that has room, as port number `port`; an error means that
    /// nothing was received.
    pub(crate) fn receive(&self, port: u64, inbox: &mut Inbox) -> io::Result<()> {
        if self.batches {
            self.receive_many(port, inbox)
        } else if self.multihomed || self.coalescing {
            self.receive_described(port, inbox)
        } else {
            let start = inbox.used;
            let (length, peer) = self.socket.recv_from(inbox.slot())?;
            inbox.used += length;
            let route = Route { peer, local: None };
            inbox.filled.push(Filled { port, start, length, segment: length, route });
            Ok(())
        }
    }

    fn receive_described(&self, port: u64, inbox: &mut Inbox) -> io::Result<()> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, i32);
        let start = inbox.used;
        let mut slices = [IoSliceMut::new(inbox.slot())];
        let fd = self.socket.as_raw_fd();
        let message = recvmsg(fd, &mut slices, Some(&mut control), MsgFlags::empty())?;
        let filled = describe(&message, port, start);
        inbox.used += message.bytes;
        inbox.filled.extend(filled);
        Ok(())
    }

    fn receive_many(&self, port: u64, inbox: &mut Inbox) -> io::Result<()> {
        let Inbox { buffer, used, filled } = inbox;
        let free = buffer[*used..].chunks_exact_mut(SLOT);
        // The kernel shortens the control lengths, so that headers serve only once.
        let control = nix::cmsg_space!(libc::in6_pktinfo, i32);
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(free.len(), Some(control));
        let mut slices: Vec<_> = free.map(|slot| [IoSliceMut::new(slot)]).collect();
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)?;
        for message in messages {
            filled.extend(describe(&message, port, *used));
            *used += SLOT;
        }
        Ok(())
    }

    /// Sends datagrams of `segment` bytes each, the last may be shorter.
    pub(crate) fn send(&mut self, route: &Route, mut datagrams: &[u8], segment: usize) -> Sent {
        let mut done = 0;
        if let Some(client) = self.client.as_mut().filter(|c| c.address == route.peer) {
            client.sends = client.sends.saturating_add(1);
        }
        while !datagrams.is_empty() {
            let count = datagrams.len().div_ceil(segment);
            match self.send_some(route, datagrams, segment) {
                Ok(sent) => {
                    done += sent;
                    let bytes = if sent >= count { datagrams.len() } else { sent * segment };
                    datagrams = &datagrams[bytes..];
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return Sent::Some(done),
                Err(Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::EOPNOTSUPP)
                    if self.offload.segmentation && count > 1 =>
                {
                    // A block beyond the route's MTU, or a device that cannot.
                    self.offload.segmentation = false;
                }
                // Lost, as on any network: the transfer's timer deals with it. A closed port
                // is told by the error queue.
                Err(_) => break,
            }
        }
        Sent::All
    }

    /// One call; returns how many datagrams it sent.
    fn send_some(&self, route: &Route, datagrams: &[u8], segment: usize) -> nix::Result<usize> {
        let count = datagrams.len().div_ceil(segment);
        let together = SEGMENTS.min(SEGMENTED_BYTES / segment).min(count);
        if count == 1 {
            return self.send_message(route, datagrams, None);
        }
        if self.offload.segmentation && together > 1 {
            let bytes = datagrams.len().min(together * segment);
            let size = u16::try_from(segment).map_err(|_| Errno::EINVAL)?;
            return self.send_message(route, &datagrams[..bytes], Some(size)).map(|_| together);
        }
        if self.offload.batches {
            return self.send_many(route, datagrams, segment);
        }
        self.send_message(route, &datagrams[..segment.min(datagrams.len())], None)
    }

    fn send_message(
        &self,
        route: &Route,
        bytes: &[u8],
        segment: Option<u16>,
    ) -> nix::Result<usize> {
        let source = Source::new(route.local.filter(|_| self.multihomed));
        let mut control: Vec<ControlMessage<'_>> = source.control().into_iter().collect();
        let known = self.client.as_ref().is_some_and(|c| c.connected && c.address == route.peer);
        if control.is_empty() && segment.is_none() {
            let sent = if known {
                self.socket.send(bytes)
            } else {
                self.socket.send_to(bytes, route.peer)
            };
            return sent.map(|_| 1).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)));
        }
        control.extend(segment.as_ref().map(ControlMessage::UdpGsoSegments));
        let address = (!known).then(|| SockaddrStorage::from(route.peer));
        let (fd, slices) = (self.socket.as_raw_fd(), [IoSlice::new(bytes)]);
        sendmsg(fd, &slices, &control, MsgFlags::empty(), address.as_ref()).map(|_| 1)
    }

    fn send_many(&self, route: &Route, datagrams: &[u8], segment: usize) -> nix::Result<usize> {
        let source = Source::new(route.local.filter(|_| self.multihomed));
        let control: Vec<ControlMessage<'_>> = source.control().into_iter().collect();
        let slices: Vec<_> = datagrams.chunks(segment).map(|d| [IoSlice::new(d)]).collect();
        let addresses = vec![Some(SockaddrStorage::from(route.peer)); slices.len()];
        let space = (!control.is_empty()).then(|| nix::cmsg_space!(libc::in6_pktinfo));
        let mut headers = MultiHeaders::preallocate(slices.len(), space);
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::empty();
        let sent = sendmmsg(fd, &mut headers, &slices, &addresses, &control, flags)?;
        Ok(sent.count())
    }

    /// Takes the next report of a packet that did not arrive.
    pub(crate) fn next_error(&self) -> Option<Report> {
        // The listener is also told the local address, and before the error.
        let mut control =
            nix::cmsg_space!(libc::in6_pktinfo, libc::sock_extended_err, libc::sockaddr_in6);
        let mut nothing = [0; 1];
        let mut slices = [IoSliceMut::new(&mut nothing)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_ERRQUEUE);
        let message =
            recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags).ok()?;
        let refused = message.cmsgs().ok()?.any(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                error.ee_errno.cast_signed() == libc::ECONNREFUSED
            }
            _ => false,
        });
        let peer = message.address.as_ref().and_then(socket_addr).filter(|_| refused);
        Some(peer.map_or(Report::Passing, Report::ClosedPort))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds a socket to an address that another socket has and shares.
fn bind_shared(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    so::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    so::set_socket_reuseport(&socket, false)?;
    Ok(socket.into())
}

/// The local address that a packet leaves from, as the kernel wants it.
enum Source {
    Any,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Source {
    fn new(address: Option<IpAddr>) -> Self {
        match address {
            None => Self::Any,
            Some(IpAddr::V4(address)) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(address).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            Some(IpAddr::V6(address)) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: 0,
            }),
        }
    }

    fn control(&self) -> Option<ControlMessage<'_>> {
        match self {
            Self::Any => None,
            Self::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Self::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
        }
    }
}

/// Reads what came with a message; `None` for one that must be dropped: it was sent to a
/// broadcast or multicast address, or lost a part.
fn describe(message: &RecvMsg<'_, '_, SockaddrStorage>, port: u64, start: usize) -> Option<Filled> {
    let peer = socket_addr(message.address.as_ref()?)?;
    let mut filled = Filled {
        port,
        start,
        length: message.bytes,
        segment: message.bytes,
        route: Route { peer, local: None },
    };
    for control in message.cmsgs().ok()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                if info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr {
                    return None;
                }
                let local = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
                filled.route.local = Some(local.into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let mapped = local.to_ipv4_mapped();
                if local.is_multicast()
                    || mapped.is_some_and(|v4| v4.is_broadcast() || v4.is_multicast())
                {
                    return None;
                }
                filled.route.local = Some(local.into());
            }
            ControlMessageOwned::UdpGroSegments(size) => {
                filled.segment = usize::try_from(size).ok()?.max(1);
            }
            _ => {}
        }
    }
    Some(filled)
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into())))
}
