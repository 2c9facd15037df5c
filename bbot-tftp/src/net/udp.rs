//! A UDP socket that sends and receives many packets by one system call where the kernel can.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockFlag,
    SockType, SockaddrStorage, bind, getsockopt, recvmmsg, recvmsg, sendmmsg, sendmsg, setsockopt,
    socket, sockopt,
};

use super::inbox::{Group, Inbox, SLOT};
use super::mtu::allow_fragments;
use crate::config::Offload;
use crate::protocol::{Datagrams, PortId, Route, Sent};

/// The maximum number of segments and of bytes of one send with `UDP_SEGMENT` (the kernel's limits
/// for IPv4).
const MAX_SEGMENTS: usize = 64;
const MAX_SEGMENTED_BYTES: usize = 65507;
/// The number of sends to a client after which connecting to it costs less than it saves in the
/// rest of the transfer.
const SENDS_BEFORE_CONNECTING: u32 = 16;
/// The number of times that a send is repeated after an error which may be that of an earlier
/// packet (T33).
const PENDING_ERRORS: u32 = 3;

/// A bound UDP socket, in non-blocking mode.
#[derive(Debug)]
pub(crate) struct Port {
    socket: UdpSocket,
    offload: Offload,
    /// Packets are received with the local address that they were sent to, and answers are sent
    /// from it.
    multihomed: bool,
    /// Packets are expected in windows: the kernel may pass several as one.
    coalescing: bool,
    /// Packets are expected in windows or from many senders: one call takes several.
    batches: bool,
    /// The client, if the port carries one transfer.
    client: Option<TransferClient>,
}

/// The client of a transfer.
#[derive(Debug)]
struct TransferClient {
    address: SocketAddr,
    /// The number of packets, or groups of packets, that were sent to it.
    sends: u32,
    /// The socket is connected to it, so that the kernel does not look up the route for each
    /// packet.
    connected: bool,
}

/// An error of an earlier packet, as the kernel reports it in the socket's error queue (ip(7),
/// `IP_RECVERR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The port that the packet was sent to is closed.
    ClosedPort(SocketAddr),
    /// Another error, which may be temporary.
    Temporary,
}

impl Port {
    /// Binds a port for requests.
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
        // Without this, closed ports are not reported to a socket that is not connected.
        match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
        }
        allow_fragments(&socket, address)?;
        Ok(Self::new(socket, offload))
    }

    fn new(socket: UdpSocket, offload: Offload) -> Self {
        Self { socket, offload, multihomed: false, coalescing: false, batches: false, client: None }
    }

    /// Makes this the port of one transfer, with the client at `address`.
    pub(crate) fn with_client(self, address: SocketAddr) -> Self {
        Self { client: Some(TransferClient { address, sends: 0, connected: false }), ..self }
    }

    /// Returns whether the transfer has become long enough for [`connect`](Self::connect), once.
    pub(crate) fn is_worth_connecting(&self) -> bool {
        let is_due = |c: &TransferClient| !c.connected && c.sends == SENDS_BEFORE_CONNECTING;
        self.client.as_ref().is_some_and(is_due)
    }

    /// Binds another socket to the same address. After this one is connected, the other receives
    /// the packets of all senders but the client; until then, either may receive any packet.
    pub(crate) fn share_address(&self) -> io::Result<Self> {
        let address = self.local_addr()?;
        // The address is shared for this moment only: no other socket may be bound to it.
        setsockopt(&self.socket, sockopt::ReusePort, &true)?;
        let other = bind_shared(address);
        setsockopt(&self.socket, sockopt::ReusePort, &false)?;
        Ok(Self::new(other?, self.offload))
    }

    /// Connects to the client, so that each packet to it costs less.
    pub(crate) fn connect(&mut self) -> io::Result<()> {
        let Some(client) = &mut self.client else { return Ok(()) };
        self.socket.connect(client.address)?;
        client.connected = true;
        Ok(())
    }

    /// Prepares for windows of data: several datagrams are received by one call.
    pub(crate) fn expect_windows(&mut self) {
        self.coalescing = self.offload.coalescing
            && setsockopt(&self.socket, sockopt::UdpGroSegment, &true).is_ok();
        self.batches = self.offload.batches;
    }

    /// Requests a receive buffer of `size` bytes (0: the system default) and returns the size that
    /// the kernel has granted. The kernel doubles a requested size (socket(7), `SO_RCVBUF`); both
    /// are as it counts them.
    pub(crate) fn request_receive_buffer(&self, size: usize) -> usize {
        let half = size / 2;
        if size > 0 && setsockopt(&self.socket, sockopt::RcvBufForce, &half).is_err() {
            // Without the privilege, the system's limit applies; the granted size is read below.
            let _ = setsockopt(&self.socket, sockopt::RcvBuf, &half);
        }
        getsockopt(&self.socket, sockopt::RcvBuf).unwrap_or(0)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns whether one call of [`receive`](Self::receive) uses all free slots of an inbox.
    pub(crate) fn takes_batches(&self) -> bool {
        self.batches
    }

    /// Receives datagrams into an inbox that is not full, as those of `port`. An error means that
    /// nothing was received.
    pub(crate) fn receive(&self, port: PortId, inbox: &mut Inbox) -> io::Result<()> {
        if self.batches {
            self.receive_many(port, inbox)
        } else if self.multihomed || self.coalescing {
            self.receive_described(port, inbox)
        } else {
            let start = inbox.used;
            let (length, peer) = self.socket.recv_from(inbox.slot())?;
            inbox.used += length;
            let route = Route::new(peer);
            inbox.groups.push(Group { port, route, start, length, segment: length });
            Ok(())
        }
    }

    fn receive_described(&self, port: PortId, inbox: &mut Inbox) -> io::Result<()> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, i32);
        let start = inbox.used;
        let mut slices = [IoSliceMut::new(inbox.slot())];
        let fd = self.socket.as_raw_fd();
        let message = recvmsg(fd, &mut slices, Some(&mut control), MsgFlags::empty())?;
        let group = describe(&message, port, start);
        inbox.used += message.bytes;
        inbox.groups.extend(group);
        Ok(())
    }

    fn receive_many(&self, port: PortId, inbox: &mut Inbox) -> io::Result<()> {
        let Inbox { buffer, used, groups } = inbox;
        let free = buffer[*used..].chunks_exact_mut(SLOT);
        // The kernel shortens the lengths of the control buffers, so that headers serve only once.
        let control = nix::cmsg_space!(libc::in6_pktinfo, i32);
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(free.len(), Some(control));
        let mut slices: Vec<_> = free.map(|slot| [IoSliceMut::new(slot)]).collect();
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(fd, &mut headers, slices.iter_mut(), flags, None)?;
        for message in messages {
            groups.extend(describe(&message, port, *used));
            *used += SLOT;
        }
        Ok(())
    }

    /// Sends datagrams.
    pub(crate) fn send(&mut self, route: &Route, datagrams: Datagrams<'_>) -> Sent {
        let (mut bytes, segment) = (datagrams.bytes(), datagrams.segment());
        let (mut done, mut pending_errors) = (0, PENDING_ERRORS);
        let mut segmentation = self.offload.segmentation;
        if let Some(client) = self.client.as_mut().filter(|c| c.address == route.peer) {
            client.sends = client.sends.saturating_add(1);
        }
        while !bytes.is_empty() {
            let count = bytes.len().div_ceil(segment);
            match self.send_some(route, bytes, segment, segmentation) {
                Ok(sent) => {
                    done += sent;
                    let length = if sent >= count { bytes.len() } else { sent * segment };
                    bytes = &bytes[length..];
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => return Sent::First(done),
                Err(Errno::EINVAL | Errno::EIO) if segmentation && count > 1 => {
                    // The segments exceed the route's MTU, or the device does not support it.
                    segmentation = false;
                }
                // The kernel reports the error of an earlier packet to whatever peer instead of
                // sending this one: on a shared socket, it would cost another client's packet.
                Err(_) if pending_errors > 0 => pending_errors -= 1,
                Err(Errno::EMSGSIZE | Errno::EOPNOTSUPP) if segmentation && count > 1 => {
                    segmentation = false;
                }
                // The packet is lost, as on any network: the transfer's timer handles it. A
                // closed port is reported by the error queue.
                Err(_) => break,
            }
        }
        // The clients of a shared socket have routes of their own.
        self.offload.segmentation &= segmentation || self.multihomed;
        Sent::All
    }

    /// Makes one system call; returns the number of datagrams that it has sent.
    fn send_some(
        &self,
        route: &Route,
        bytes: &[u8],
        segment: usize,
        segmentation: bool,
    ) -> nix::Result<usize> {
        let count = bytes.len().div_ceil(segment);
        let together = MAX_SEGMENTS.min(MAX_SEGMENTED_BYTES / segment).min(count);
        if count == 1 {
            return self.send_message(route, bytes, None);
        }
        if segmentation && together > 1 {
            let length = bytes.len().min(together * segment);
            let size = u16::try_from(segment).map_err(|_| Errno::EINVAL)?;
            return self.send_message(route, &bytes[..length], Some(size)).map(|_| together);
        }
        if self.offload.batches {
            return self.send_many(route, bytes, segment);
        }
        self.send_message(route, &bytes[..segment.min(bytes.len())], None)
    }

    fn send_message(
        &self,
        route: &Route,
        bytes: &[u8],
        segment: Option<u16>,
    ) -> nix::Result<usize> {
        let source = SourceAddress::new(route, self.multihomed);
        let mut control: Vec<ControlMessage<'_>> = source.control().into_iter().collect();
        let is_connected =
            self.client.as_ref().is_some_and(|c| c.connected && c.address == route.peer);
        if control.is_empty() && segment.is_none() {
            let sent = if is_connected {
                self.socket.send(bytes)
            } else {
                self.socket.send_to(bytes, route.peer)
            };
            return sent.map(|_| 1).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)));
        }
        control.extend(segment.as_ref().map(ControlMessage::UdpGsoSegments));
        let address = (!is_connected).then(|| SockaddrStorage::from(route.peer));
        let (fd, slices) = (self.socket.as_raw_fd(), [IoSlice::new(bytes)]);
        sendmsg(fd, &slices, &control, MsgFlags::empty(), address.as_ref()).map(|_| 1)
    }

    fn send_many(&self, route: &Route, bytes: &[u8], segment: usize) -> nix::Result<usize> {
        let source = SourceAddress::new(route, self.multihomed);
        let control: Vec<ControlMessage<'_>> = source.control().into_iter().collect();
        let slices: Vec<_> = bytes.chunks(segment).map(|d| [IoSlice::new(d)]).collect();
        let addresses = vec![Some(SockaddrStorage::from(route.peer)); slices.len()];
        let space = (!control.is_empty()).then(|| nix::cmsg_space!(libc::in6_pktinfo));
        let mut headers = MultiHeaders::preallocate(slices.len(), space);
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::empty();
        let sent = sendmmsg(fd, &mut headers, &slices, &addresses, &control, flags)?;
        Ok(sent.count())
    }

    /// Takes the next report of the error queue.
    pub(crate) fn next_error(&self) -> Option<Report> {
        // The listener also gets the local address, before the error.
        let mut control =
            nix::cmsg_space!(libc::in6_pktinfo, libc::sock_extended_err, libc::sockaddr_in6);
        let mut payload = [0; 1];
        let mut slices = [IoSliceMut::new(&mut payload)];
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
        Some(peer.map_or(Report::Temporary, Report::ClosedPort))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds a socket to an address that another socket is bound to with `SO_REUSEPORT`.
fn bind_shared(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    setsockopt(&socket, sockopt::ReusePort, &false)?;
    Ok(socket.into())
}

/// The local address that a packet is sent from, as a control message holds it (ip(7),
/// `IP_PKTINFO`).
enum SourceAddress {
    Any,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl SourceAddress {
    /// The local address of a route, if the socket sends from several.
    fn new(route: &Route, multihomed: bool) -> Self {
        match route.local.filter(|_| multihomed) {
            None => Self::Any,
            Some(IpAddr::V4(address)) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(address).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            Some(IpAddr::V6(address)) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                // Only a link-local address needs its interface (T29).
                ipi6_ifindex: route.scope,
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

/// Reads the control messages of received datagrams. Returns `None` for those that must be dropped:
/// they were sent to a broadcast or multicast address (T3), or a part of them is lost.
fn describe(
    message: &RecvMsg<'_, '_, SockaddrStorage>,
    port: PortId,
    start: usize,
) -> Option<Group> {
    let peer = socket_addr(message.address.as_ref()?)?;
    let mut group = Group {
        port,
        route: Route::new(peer),
        start,
        length: message.bytes,
        segment: message.bytes,
    };
    for control in message.cmsgs().ok()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                if info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr {
                    return None;
                }
                let local = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
                group.route.local = Some(local.into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let mapped = local.to_ipv4_mapped();
                if local.is_multicast()
                    || mapped.is_some_and(|v4| v4.is_broadcast() || v4.is_multicast())
                {
                    return None;
                }
                group.route.local = Some(local.into());
                if local.is_unicast_link_local() {
                    group.route.scope = info.ipi6_ifindex;
                }
            }
            ControlMessageOwned::UdpGroSegments(size) => {
                group.segment = usize::try_from(size).ok()?.max(1);
            }
            _ => {}
        }
    }
    Some(group)
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::wait_readable;

    /// T33: the error of a packet to a closed port does not cost a packet to another client.
    #[test]
    fn a_pending_error_costs_no_packet() {
        let limit = Some(Duration::from_secs(60));
        for offload in [Offload::ALL, Offload::NONE] {
            for host in ["127.0.0.1:0", "[::1]:0"] {
                let mut port = Port::listener(host.parse().unwrap(), offload).unwrap();
                let closed = UdpSocket::bind(host).unwrap().local_addr().unwrap();
                let client = UdpSocket::bind(host).unwrap();
                client.set_read_timeout(limit).unwrap();
                let route = Route::new(client.local_addr().unwrap());
                for segments in [1, 10] {
                    port.send(&Route::new(closed), Datagrams::one(b"lost"));
                    // A socket with an error counts as readable.
                    assert!(wait_readable(&port, limit).unwrap());
                    let bytes = vec![7; segments * 100];
                    assert_eq!(port.send(&route, Datagrams::new(&bytes, 100)), Sent::All);
                    for _ in 0..segments {
                        assert_eq!(client.recv(&mut [0; 200]).unwrap(), 100);
                    }
                    assert_eq!(port.next_error(), Some(Report::ClosedPort(closed)));
                }
                assert_eq!(port.offload, offload, "an error of another packet was misread");
            }
        }
    }
}
