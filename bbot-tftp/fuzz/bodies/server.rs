//! Any sequence of datagrams, pauses and commits: the invariants of a server.

use std::net::SocketAddr;
use std::time::Duration;

use bbot_tftp::{Limits, Packet, PortId, ServerConfig};

use crate::virtual_server::VirtualServer;

const LISTENER: PortId = PortId::Listener;
const ORIGINAL: &[u8] = &[5; 3000];
/// The maximum number of packets after one datagram: a window of each session of a peer.
const MAX_PACKETS: usize = 300 * 6;
/// The maximum number of windows that a session sends, one a second, before it is given up.
const MAX_ATTEMPTS: usize = 31;

/// The input, as a sequence of steps; missing bytes are zero.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut script = Script(data);
    let limits =
        Limits::default().with_transfers(4).with_half_open(4).with_dallying(2).with_per_peer(6);
    let single_port = script.byte() % 2 == 1;
    let config = ServerConfig::default().with_single_port(single_port).with_limits(limits);
    let mut server = VirtualServer::new(config);
    server.store.put("file", ORIGINAL);
    let mut steps = 0;
    while !script.0.is_empty() && steps < 500 {
        steps += 1;
        let before = server.now;
        step(&mut server, &mut script);
        let attempts = if server.now > before { MAX_ATTEMPTS } else { 1 };
        check(&mut server, MAX_PACKETS * attempts);
    }
    server.commit();
    check(&mut server, MAX_PACKETS);
    server.pass(Duration::from_secs(49 * 3600));
    assert!(server.engine.is_idle(), "a session is left");
    assert!(server.host.ports.is_empty(), "a port is left");
    assert_eq!(server.engine.poll_timeout(), None, "a timer is left");
}

fn step(server: &mut VirtualServer, script: &mut Script<'_>) {
    let choice = script.byte();
    let peer = SocketAddr::from(([192, 0, 2, 1 + choice / 16 % 3], 1000 + u16::from(choice / 64)));
    let port = port(server, script.byte());
    let (high, low) = (script.byte(), script.byte());
    match choice % 16 {
        0 => server.commit(),
        1 => {
            let now = server.now;
            server.engine.handle_unreachable(port, peer, now, &mut server.host);
        }
        2 | 3 => server.pass(Duration::from_micros(u64::from(high) << (low % 20))),
        4 => server.host.congested_after = Some(usize::from(low % 8)),
        5 | 6 => server.receive(peer, port, script.bytes()),
        7 => server.receive(peer, port, &[0, 5, high, low]),
        8 | 9 => server.receive(peer, port, &[0, 4, high % 2, low]),
        10..=12 => {
            let mut packet = vec![0, 3, high % 2, low];
            packet.resize(4 + usize::from(script.byte()) * 4, 9);
            server.receive(peer, port, &packet);
        }
        13 => server.receive(peer, LISTENER, &[&[0, 1 + high % 2][..], script.bytes()].concat()),
        _ => server.receive(peer, LISTENER, &request(high, low)),
    }
}

/// A well-formed request.
fn request(high: u8, low: u8) -> Vec<u8> {
    let mut packet = vec![0, 1 + high % 2];
    let names = ["file", "up", "fails", "denied", "missing", "/file", "../file", ""];
    packet.extend(names[usize::from(high / 2 % 8)].as_bytes());
    packet.extend(b"\0octet\0");
    for (bit, option) in [
        "blksize\x008\0",
        "windowsize\x004\0",
        "timeout\x001\0",
        "tsize\x000\0",
        "blksize\x001024\0",
        "windowsize\x0065535\0",
        "tsize\x0099999999\0",
        "x\0y\0",
    ]
    .into_iter()
    .enumerate()
    {
        if low >> bit & 1 == 1 {
            packet.extend(option.as_bytes());
        }
    }
    packet
}

/// The listener, or one of the open ports.
fn port(server: &VirtualServer, choice: u8) -> PortId {
    let mut ports: Vec<_> = server.host.ports.iter().copied().collect();
    ports.sort_unstable();
    ports.get(usize::from(choice)).copied().unwrap_or(LISTENER)
}

fn check(server: &mut VirtualServer, max: usize) {
    let packets = server.sent();
    assert!(packets.len() <= max, "{} packets at once", packets.len());
    for packet in packets {
        let decoded = Packet::decode(&packet.bytes).expect("what the server sends is well-formed");
        assert!(!matches!(decoded, Packet::Request(_)), "a server sends no requests");
    }
    assert!(server.host.ports.len() <= 16, "more ports than the limits allow");
    assert!(server.store.get("fails").is_none() && server.store.get("denied").is_none());
    assert!(server.engine.poll_timeout().is_none_or(|at| at >= server.now), "a timer was missed");
}
