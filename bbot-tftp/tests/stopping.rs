//! How a server stops, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bbot_tftp::{ErrorCode, Namespace, Packet, Server, ServerConfig, ServerHandle};
use tempfile::TempDir;

const TIME_LIMIT: Duration = Duration::from_secs(60);

struct Fixture {
    folder: TempDir,
    server: ServerHandle,
}

impl Fixture {
    fn new(single_port: bool) -> Self {
        let folder = TempDir::with_prefix("bbot-").unwrap();
        fs::write(folder.path().join("file"), [7; 1300]).unwrap();
        let namespace = Namespace::new().read(folder.path()).write(folder.path());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = ServerConfig::default().with_single_port(single_port);
        let server = Server::bind(any, namespace, config).unwrap().spawn(drop).unwrap();
        Self { folder, server }
    }

    /// Begins a transfer, which the client leaves in progress or half-open.
    fn begin(&self, opcode: u8, answers: bool) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        let mut peer = Peer { socket, port: self.server.local_addr(), last: Vec::new() };
        let name = if opcode == 1 { &b"file"[..] } else { b"up" };
        let first = peer.exchange(&[&[0, opcode], name, b"\0octet\0"].concat());
        assert_eq!(first[..2], if opcode == 1 { [0, 3] } else { [0, 4] });
        if answers {
            let second = if opcode == 1 { ack(1) } else { [&[0, 3, 0, 1][..], &[7; 512]].concat() };
            assert_eq!(peer.exchange(&second)[..2], first[..2]);
        }
        peer
    }
}

struct Peer {
    socket: UdpSocket,
    port: SocketAddr,
    last: Vec<u8>,
}

impl Peer {
    fn exchange(&mut self, packet: &[u8]) -> Vec<u8> {
        self.socket.send_to(packet, self.port).unwrap();
        self.receive()
    }

    /// Receives the next packet that is not the last one again: on a busy host, the server's timer
    /// may expire.
    fn receive(&mut self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).unwrap();
            self.port = from;
            if buffer[..length] != self.last {
                self.last = buffer[..length].to_vec();
                return self.last.clone();
            }
        }
    }

    #[track_caller]
    fn check_is_told(&mut self) {
        let packet = self.receive();
        let told = Packet::Error { code: ErrorCode::UNDEFINED, message: b"server stops" };
        assert_eq!(Packet::decode(&packet), Ok(told));
    }
}

fn ack(block: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet::Ack { block }.encode(&mut bytes);
    bytes
}

/// T34: all clients are told by ERROR 0 that the server stops, and nothing is left of uploads.
#[test]
fn clients_are_told() {
    for single_port in [false, true] {
        let fixture = Fixture::new(single_port);
        let mut peers: Vec<_> = [(1, false), (1, true), (2, false), (2, true)]
            .into_iter()
            .map(|(opcode, answers)| fixture.begin(opcode, answers))
            .collect();
        fixture.server.stop();
        peers.iter_mut().for_each(Peer::check_is_told);
        assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 1);
    }
}

/// T34: a drain lets a download finish, and tells all other clients; those that ask meanwhile, too.
#[test]
fn downloads_finish() {
    for single_port in [false, true] {
        let fixture = Fixture::new(single_port);
        let (mut download, mut upload) = (fixture.begin(1, true), fixture.begin(2, true));
        let mut late = fixture.begin(1, false);
        let listener = fixture.server.local_addr();
        let server = fixture.server;
        let drain = thread::spawn(move || server.drain(TIME_LIMIT));
        upload.check_is_told();
        late.check_is_told();
        late.last.clear();
        late.socket.send_to(b"\0\x01file\0octet\0", listener).unwrap();
        late.check_is_told();
        assert_eq!(download.exchange(&ack(2))[..4], [0, 3, 0, 3]);
        assert!(!drain.is_finished());
        download.socket.send_to(&ack(3), download.port).unwrap();
        let start = Instant::now();
        drain.join().unwrap();
        assert!(start.elapsed() < TIME_LIMIT / 2);
        assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 1);
    }
}

/// T34: a drain ends by its limit, also during a flood of requests and of other packets; so does
/// one that has nothing to wait for.
#[test]
fn a_drain_during_a_flood() {
    for single_port in [false, true] {
        for unfinished in [true, false] {
            let fixture = Fixture::new(single_port);
            let mut download = unfinished.then(|| fixture.begin(1, true));
            let address = fixture.server.local_addr();
            let is_over = AtomicBool::new(false);
            let server = fixture.server;
            thread::scope(|scope| {
                for packet in [&b"\0\x01missing\0octet\0"[..], b"\0\x04\0\x07"] {
                    let is_over = &is_over;
                    scope.spawn(move || {
                        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                        while !is_over.load(Ordering::Relaxed) {
                            // The server is gone at the end.
                            drop(socket.send_to(packet, address));
                        }
                    });
                }
                let start = Instant::now();
                server.drain(Duration::from_secs(1));
                is_over.store(true, Ordering::Relaxed);
                let elapsed = start.elapsed();
                assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
                assert!(!unfinished || elapsed >= Duration::from_secs(1), "{elapsed:?}");
            });
            if let Some(download) = &mut download {
                download.check_is_told();
            }
        }
    }
}
