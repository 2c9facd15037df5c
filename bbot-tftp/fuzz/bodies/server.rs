//! What must hold for any sequence of datagrams, pauses and commits.

use std::net::SocketAddr;
use std::time::Duration;

use bbot_tftp::{LISTENER, Limits, Packet, ServerConfig};

use crate::world::World;

const ORIGINAL: &[u8] = &[5; 3000];
/// More than one datagram may bring out: a window of each session of a peer.
const MOST_PACKETS: usize = 300 * 6;
/// More windows than a session sends in vain, one a second, before it gives up.
const MOST_TRIES: usize = 31;

/// Reads the script; missing bytes are zero.
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
        Limits { transfers: 4, half_open: 4, tombstones: 2, per_peer: 6, ..Limits::default() };
    let single_port = script.byte() % 2 == 1;
    let mut world = World::new(ServerConfig { single_port, limits, ..ServerConfig::default() });
    world.files.put("file", ORIGINAL);
    let mut steps = 0;
    while !script.0.is_empty() && steps < 500 {
        steps += 1;
        let before = world.now;
        step(&mut world, &mut script);
        let tries = if world.now > before { MOST_TRIES } else { 1 };
        check(&mut world, MOST_PACKETS * tries);
    }
    world.commit();
    check(&mut world, MOST_PACKETS);
    world.pass(Duration::from_secs(49 * 3600));
    assert!(world.engine.is_idle(), "a session lives for ever");
    assert!(world.host.ports.is_empty(), "a port was left");
    assert_eq!(world.engine.poll_timeout(), None, "a timer was left");
}

fn step(world: &mut World, script: &mut Script<'_>) {
    let choice = script.byte();
    let peer = SocketAddr::from(([192, 0, 2, 1 + choice / 16 % 3], 1000 + u16::from(choice / 64)));
    let port = port(world, script.byte());
    let (high, low) = (script.byte(), script.byte());
    match choice % 16 {
        0 => world.commit(),
        1 => {
            let now = world.now;
            world.engine.handle_unreachable(port, peer, now, &mut world.host);
        }
        2 | 3 => world.pass(Duration::from_micros(u64::from(high) << (low % 20))),
        4 => world.host.congested_after = Some(usize::from(low % 8)),
        5 | 6 => world.receive(peer, port, script.bytes()),
        7 => world.receive(peer, port, &[0, 5, high, low]),
        8 | 9 => world.receive(peer, port, &[0, 4, high % 2, low]),
        10..=12 => {
            let mut packet = vec![0, 3, high % 2, low];
            packet.resize(4 + usize::from(script.byte()) * 4, 9);
            world.receive(peer, port, &packet);
        }
        13 => world.receive(peer, LISTENER, &[&[0, 1 + high % 2][..], script.bytes()].concat()),
        _ => world.receive(peer, LISTENER, &request(high, low)),
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
fn port(world: &World, choice: u8) -> u64 {
    let mut ports: Vec<_> = world.host.ports.iter().copied().collect();
    ports.sort_unstable();
    ports.get(usize::from(choice)).copied().unwrap_or(LISTENER)
}

fn check(world: &mut World, most: usize) {
    let packets = world.sent();
    assert!(packets.len() <= most, "{} packets at once", packets.len());
    for packet in packets {
        let decoded = Packet::decode(&packet.bytes).expect("what the server sends is well-formed");
        assert!(!matches!(decoded, Packet::Request(_)), "a server asks for nothing");
    }
    assert!(world.host.ports.len() <= 16, "more ports than the limits allow");
    assert!(world.files.get("fails").is_none() && world.files.get("denied").is_none());
    assert!(world.engine.poll_timeout().is_none_or(|at| at >= world.now), "a timer was missed");
}
