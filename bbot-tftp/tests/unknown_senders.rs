//! The port of a long transfer, which is connected to its client: the packets of other senders are
//! still answered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bbot_tftp::{
    ErrorCode, Event, Failure, Namespace, Offload, Packet, Server, ServerConfig, ServerHandle,
};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};
use tempfile::TempDir;

/// The number of blocks of a transfer: enough for its port to be connected in the middle of it.
const BLOCKS: u16 = 60;
const TIME_LIMIT: Duration = Duration::from_secs(60);

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

    /// A socket on the server's host.
    fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind((self.server.local_addr().ip(), 0)).unwrap();
        socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        socket
    }

    /// Waits for the end of a transfer.
    fn end(&self) -> Event {
        loop {
            let event = self.events.recv_timeout(TIME_LIMIT).unwrap();
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

/// A packet of another sender is answered by ERROR 5 from the transfer's port.
fn check_other_sender(other: &UdpSocket, port: SocketAddr) {
    other.send_to(&encode(&Packet::Ack { block: 1 }), port).unwrap();
    let (answer, from) = receive(other);
    assert_eq!(from, port);
    let code = ErrorCode::UNKNOWN_TID;
    assert!(matches!(Packet::decode(&answer), Ok(Packet::Error { code: c, .. }) if c == code));
}

fn configs() -> impl Iterator<Item = (IpAddr, ServerConfig)> {
    let modes = [false, true].into_iter().flat_map(|single_port| {
        let config = ServerConfig::default().with_single_port(single_port);
        [Offload::ALL, Offload::NONE].map(|offload| config.with_offload(offload))
    });
    let hosts = ["127.0.0.1", "::1"].map(|host| host.parse::<IpAddr>().unwrap());
    modes.flat_map(move |config| hosts.map(|host| (host, config)))
}

/// Gets the first blocks of the file; another sender sends a packet after each.
fn get(client: &UdpSocket, other: &UdpSocket, server: SocketAddr, blocks: u16) -> SocketAddr {
    client.send_to(b"\0\x01file\0octet\0", server).unwrap();
    let mut port = None;
    for (block, expected) in (1..=blocks).zip(content().chunks(512)) {
        let (mut data, mut from) = receive(client);
        // On a busy host, the server's timer may expire: the block before is received again.
        while data[2..4] == (block - 1).to_be_bytes() {
            (data, from) = receive(client);
        }
        assert_eq!(*port.get_or_insert(from), from);
        assert_eq!(data, encode(&Packet::Data { block, payload: expected }));
        check_other_sender(other, from);
        client.send_to(&encode(&Packet::Ack { block }), from).unwrap();
    }
    port.unwrap()
}

/// T2: another sender gets ERROR 5 at any time of a GET, and the transfer is not affected.
#[test]
fn unknown_senders_in_a_get() {
    for (host, config) in configs() {
        let fixture = Fixture::new(host, config);
        let (client, other) = (fixture.socket(), fixture.socket());
        get(&client, &other, fixture.server.local_addr(), BLOCKS);
        assert!(matches!(fixture.end(), Event::Finished { bytes, .. }
            if bytes == content().len() as u64));
    }
}

/// T2: the same in a PUT.
#[test]
fn unknown_senders_in_a_put() {
    for (host, config) in configs() {
        let fixture = Fixture::new(host, config);
        let (client, other) = (fixture.socket(), fixture.socket());
        client.send_to(b"\0\x02up\0octet\0", fixture.server.local_addr()).unwrap();
        let content = content();
        let mut payloads = (1..).zip(content.chunks(512));
        for block in 0..=BLOCKS {
            let (ack, from) = receive(&client);
            assert_eq!(ack, encode(&Packet::Ack { block }));
            check_other_sender(&other, from);
            if let Some((block, payload)) = payloads.next() {
                client.send_to(&encode(&Packet::Data { block, payload }), from).unwrap();
            }
        }
        assert!(fs::read(fixture.folder.path().join("up")).unwrap() == content);
    }
}

/// T6: a client that has ended is detected by its closed port, also late in a transfer.
#[test]
fn a_client_that_has_ended() {
    for (host, config) in configs() {
        let fixture = Fixture::new(host, config);
        let (client, other) = (fixture.socket(), fixture.socket());
        get(&client, &other, fixture.server.local_addr(), BLOCKS - 2);
        drop(client);
        assert!(matches!(fixture.end(), Event::Failed { reason: Failure::Unreachable, .. }));
    }
}

/// The number of sockets with a local port, and how many of these are connected.
fn sockets(port: u16) -> (usize, usize) {
    let table = fs::read_to_string("/proc/self/net/udp").unwrap();
    let local = format!(":{port:04X}");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let sockets: Vec<_> = rows.filter(|row| row[1].ends_with(&local)).collect();
    (sockets.len(), sockets.iter().filter(|row| !row[2].ends_with(":0000")).count())
}

/// T1: the port of a transfer, connected or not, cannot be bound by another socket, and is closed
/// at the end of the transfer.
#[test]
fn a_port_is_not_shared() {
    let host = "127.0.0.1".parse().unwrap();
    let fixture = Fixture::new(host, ServerConfig::default());
    let (client, other) = (fixture.socket(), fixture.socket());
    let port = get(&client, &other, fixture.server.local_addr(), BLOCKS - 1);
    assert_eq!(sockets(port.port()), (2, 1));
    let third = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None).unwrap();
    setsockopt(&third, sockopt::ReusePort, &true).unwrap();
    let bound = bind(third.as_raw_fd(), &SockaddrStorage::from(port));
    assert_eq!(bound, Err(Errno::EADDRINUSE));
    receive(&client);
    client.send_to(&encode(&Packet::Ack { block: BLOCKS }), port).unwrap();
    assert!(matches!(fixture.end(), Event::Finished { .. }));
    let until = Instant::now() + TIME_LIMIT;
    while sockets(port.port()) != (0, 0) {
        assert!(Instant::now() < until, "still open");
        std::thread::yield_now();
    }
}
