//! The port of a long transfer, which is connected to its client: all others still reach it.

#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bbot_tftp::{
    ErrorCode, Event, Failure, Namespace, Offload, Packet, Server, ServerConfig, ServerHandle,
};
use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketType};
use tempfile::TempDir;

/// Blocks of a transfer: enough for its port to be connected in the middle of it.
const BLOCKS: u16 = 60;
const LIMIT: Duration = Duration::from_secs(10);

struct Fixture {
    folder: TempDir,
    server: ServerHandle,
    events: Receiver<Event>,
}

impl Fixture {
    fn new(host: IpAddr, config: ServerConfig) -> Self {
        let folder = TempDir::with_prefix("bbot-").unwrap();
        fs::write(folder.path().join("file"), content()).unwrap();
        let namespace = Namespace::new().read(folder.path()).write(folder.path());
        let server = Server::bind((host, 0).into(), namespace, config).unwrap();
        let (sender, events) = channel();
        let server = server.spawn(move |event| sender.send(event).unwrap()).unwrap();
        Self { folder, server, events }
    }

    /// A socket of somebody on the server's host.
    fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind((self.server.local_addr().ip(), 0)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket
    }

    /// Waits for the end of a transfer.
    fn end(&self) -> Event {
        loop {
            let event = self.events.recv_timeout(LIMIT).unwrap();
            if matches!(event, Event::Finished { .. } | Event::Failed { .. }) {
                return event;
            }
        }
    }
}

/// All but the last block are full.
fn content() -> Vec<u8> {
    (0..usize::from(BLOCKS) * 512 - 100).map(|i| (i % 251).to_le_bytes()[0]).collect()
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

/// A stranger's packet is answered by ERROR 5 from the transfer's port.
fn check_stranger(stranger: &UdpSocket, port: SocketAddr) {
    stranger.send_to(&encode(&Packet::Ack { block: 1 }), port).unwrap();
    let (answer, from) = receive(stranger);
    assert_eq!(from, port);
    let code = ErrorCode::UNKNOWN_TID;
    assert!(matches!(Packet::decode(&answer), Ok(Packet::Error { code: c, .. }) if c == code));
}

fn configs() -> impl Iterator<Item = (IpAddr, ServerConfig)> {
    let modes = [false, true].into_iter().flat_map(|single_port| {
        let config = ServerConfig { single_port, ..ServerConfig::default() };
        [Offload::ALL, Offload::NONE].map(|offload| ServerConfig { offload, ..config })
    });
    let hosts = ["127.0.0.1", "::1"].map(|host| host.parse::<IpAddr>().unwrap());
    modes.flat_map(move |config| hosts.map(|host| (host, config)))
}

/// Gets the first blocks of the file; a stranger disturbs each.
fn get(client: &UdpSocket, stranger: &UdpSocket, server: SocketAddr, blocks: u16) -> SocketAddr {
    client.send_to(b"\0\x01file\0octet\0", server).unwrap();
    let mut port = None;
    for (block, expected) in (1..=blocks).zip(content().chunks(512)) {
        let (data, from) = receive(client);
        assert_eq!(*port.get_or_insert(from), from);
        assert_eq!(data, encode(&Packet::Data { block, payload: expected }));
        check_stranger(stranger, from);
        client.send_to(&encode(&Packet::Ack { block }), from).unwrap();
    }
    port.unwrap()
}

/// T2: whenever a stranger comes in a GET, it gets ERROR 5, and the transfer is not touched.
#[test]
fn strangers_in_a_get() {
    for (host, config) in configs() {
        let fixture = Fixture::new(host, config);
        let (client, stranger) = (fixture.socket(), fixture.socket());
        get(&client, &stranger, fixture.server.local_addr(), BLOCKS);
        assert!(matches!(fixture.end(), Event::Finished { bytes, .. }
            if bytes == content().len() as u64));
    }
}

/// T2: the same in a PUT.
#[test]
fn strangers_in_a_put() {
    for (host, config) in configs() {
        let fixture = Fixture::new(host, config);
        let (client, stranger) = (fixture.socket(), fixture.socket());
        client.send_to(b"\0\x02up\0octet\0", fixture.server.local_addr()).unwrap();
        let content = content();
        let mut payloads = (1..).zip(content.chunks(512));
        for block in 0..=BLOCKS {
            let (ack, from) = receive(&client);
            assert_eq!(ack, encode(&Packet::Ack { block }));
            check_stranger(&stranger, from);
            if let Some((block, payload)) = payloads.next() {
                client.send_to(&encode(&Packet::Data { block, payload }), from).unwrap();
            }
        }
        assert!(fs::read(fixture.folder.path().join("up")).unwrap() == content);
    }
}

/// T6: a client that is gone is known by its closed port, also late in a transfer.
#[test]
fn a_client_that_is_gone() {
    for (host, config) in configs() {
        let fixture = Fixture::new(host, config);
        let (client, stranger) = (fixture.socket(), fixture.socket());
        get(&client, &stranger, fixture.server.local_addr(), BLOCKS - 2);
        drop(client);
        assert!(matches!(fixture.end(), Event::Failed { reason: Failure::Unreachable, .. }));
    }
}

/// How many sockets have a local port, and how many of these are connected.
fn sockets(port: u16) -> (usize, usize) {
    let table = fs::read_to_string("/proc/self/net/udp").unwrap();
    let local = format!(":{port:04X}");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours: Vec<_> = rows.filter(|row| row[1].ends_with(&local)).collect();
    (ours.len(), ours.iter().filter(|row| !row[2].ends_with(":0000")).count())
}

/// T1: the port of a transfer is its own, connected or not: nobody else can bind it, and it is
/// closed when the transfer is over.
#[test]
fn a_port_is_not_shared() {
    let host = "127.0.0.1".parse().unwrap();
    let fixture = Fixture::new(host, ServerConfig::default());
    let (client, stranger) = (fixture.socket(), fixture.socket());
    let port = get(&client, &stranger, fixture.server.local_addr(), BLOCKS - 1);
    assert_eq!(sockets(port.port()), (2, 1));
    let other = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    set_socket_reuseport(&other, true).unwrap();
    assert_eq!(rustix::net::bind(&other, &port), Err(rustix::io::Errno::ADDRINUSE));
    receive(&client);
    client.send_to(&encode(&Packet::Ack { block: BLOCKS }), port).unwrap();
    assert!(matches!(fixture.end(), Event::Finished { .. }));
    let until = Instant::now() + LIMIT;
    while sockets(port.port()) != (0, 0) {
        assert!(Instant::now() < until, "still open");
        std::thread::yield_now();
    }
}
