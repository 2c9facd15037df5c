//! Datagrams as they pass between the protocol and the sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::transfer_id::PortId;

/// The two ends of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Route {
    /// The peer's address and port.
    pub peer: SocketAddr,
    /// The local address that the client's request was sent to, where it is known. Answers are
    /// sent from it.
    pub local: Option<IpAddr>,
    /// The index of the interface that `local` belongs to, if that is a link-local address (T29);
    /// otherwise 0.
    pub scope: u32,
}

impl Route {
    /// A route to `peer` from any local address.
    pub const fn new(peer: SocketAddr) -> Self {
        Self { peer, local: None, scope: 0 }
    }

    /// Sets the local address.
    #[must_use]
    pub const fn with_local(self, local: IpAddr) -> Self {
        Self { local: Some(local), ..self }
    }

    /// Sets the interface of a link-local address.
    #[must_use]
    pub const fn with_scope(self, scope: u32) -> Self {
        Self { scope, ..self }
    }

    /// The local address, with port 0; without one, any address of the peer's kind.
    pub(crate) fn local_address(&self) -> SocketAddr {
        match (self.local, self.peer) {
            (Some(IpAddr::V6(local)), _) => SocketAddrV6::new(local, 0, 0, self.scope).into(),
            (Some(local), _) => SocketAddr::new(local, 0),
            (None, SocketAddr::V4(_)) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            (None, SocketAddr::V6(_)) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        }
    }
}

/// Datagrams of the same length that lie one after the other in memory; the last may be shorter.
///
/// This is what `UDP_SEGMENT` sends by one call, and what `UDP_GRO` receives by one call
/// (udp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagrams<'a> {
    bytes: &'a [u8],
    segment: usize,
}

impl<'a> Datagrams<'a> {
    /// The datagrams in `bytes`, each of `segment` bytes. A `segment` of 0 is read as 1.
    pub fn new(bytes: &'a [u8], segment: usize) -> Self {
        Self { bytes, segment: segment.max(1) }
    }

    /// One datagram.
    pub fn one(bytes: &'a [u8]) -> Self {
        Self::new(bytes, bytes.len())
    }

    /// The bytes of all datagrams.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The length of each datagram but the last, in bytes; at least 1.
    pub fn segment(&self) -> usize {
        self.segment
    }

    /// The number of datagrams.
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment)
    }

    /// Each datagram.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks(self.segment)
    }
}

/// Datagrams that a port has received from one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Arrival<'a> {
    /// The port that received them.
    pub port: PortId,
    /// Their source and their destination.
    pub route: Route,
    /// The datagrams, in the order in which they arrived.
    pub datagrams: Datagrams<'a>,
}

impl<'a> Arrival<'a> {
    /// Datagrams that `port` has received.
    pub fn new(port: PortId, route: Route, datagrams: Datagrams<'a>) -> Self {
        Self { port, route, datagrams }
    }
}

/// How many of the datagrams that were to be sent were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// All of them.
    All,
    /// The first ones, in this number; the send buffer had no space for the others.
    First(usize),
}
