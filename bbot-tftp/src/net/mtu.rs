//! How long packets to a peer may be (T30).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover,
    set_ipv6_mtu_discover,
};

use crate::protocol::Route;

/// The time for which an answer of the kernel is used again.
const FRESH: Duration = Duration::from_secs(1);

/// What the kernel has answered last: requests often come from one host, many at once.
#[derive(Debug, Default)]
pub(crate) struct Mtus(Option<Answer>);

#[derive(Debug)]
struct Answer {
    peer: IpAddr,
    local: SocketAddr,
    at: Instant,
    mtu: Option<u32>,
}

impl Mtus {
    /// The MTU of a route, if the kernel has it.
    pub(crate) fn of(&mut self, route: &Route) -> Option<u32> {
        let (peer, local, now) = (route.peer.ip(), route.local_address(), Instant::now());
        if let Some(last) = &self.0
            && (last.peer, last.local) == (peer, local)
            && now.saturating_duration_since(last.at) < FRESH
        {
            return last.mtu;
        }
        let mtu = route_mtu(local, route.peer).ok();
        self.0 = Some(Answer { peer, local, at: now, mtu });
        mtu
    }
}

/// The MTU of the interface, or of the route or the path where the kernel knows a smaller one.
fn route_mtu(mut local: SocketAddr, peer: SocketAddr) -> io::Result<u32> {
    let mut peer = peer;
    // A packet to an IPv4 client of an IPv6 socket is an IPv4 packet.
    if let IpAddr::V4(v4) = peer.ip().to_canonical() {
        peer = SocketAddr::new(v4.into(), peer.port());
        local = match local.ip().to_canonical() {
            IpAddr::V4(v4) => SocketAddr::new(v4.into(), 0),
            IpAddr::V6(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        };
    }
    let socket = UdpSocket::bind(local)?;
    socket.connect(peer)?;
    Ok(if peer.is_ipv4() { ip_mtu(&socket)? } else { ipv6_mtu(&socket)? })
}

/// Lets routers fragment what a socket sends: where the reports of packets that are too long are
/// dropped on their way, nothing else arrives.
pub(super) fn allow_fragments(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)?;
    }
    // On an IPv6 socket, this is for its IPv4 peers.
    Ok(set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)?)
}
