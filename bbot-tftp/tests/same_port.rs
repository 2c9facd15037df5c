//! A client that uses one port for all of its transfers, as boot loaders do, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bbot_tftp::{
    Event, Failure, Namespace, Packet, Server, ServerConfig, ServerHandle, WritePolicy,
};
use tempfile::TempDir;

const TIME_LIMIT: Duration = Duration::from_secs(60);

struct Fixture {
    folder: TempDir,
    server: ServerHandle,
    events: Receiver<Event>,
    client: UdpSocket,
    last: RefCell<Vec<u8>>,
}

impl Fixture {
    fn new(host: IpAddr, single_port: bool, policy: WritePolicy) -> Self {
        let folder = TempDir::with_prefix("bbot-").unwrap();
        let (get, put) = (folder.path().join("get"), folder.path().join("put"));
        fs::create_dir(&get).unwrap();
        fs::create_dir(&put).unwrap();
        fs::write(get.join("old"), [1; 5000]).unwrap();
        fs::write(get.join("new"), [2; 700]).unwrap();
        let namespace = Namespace::new().read(get).write(put).policy(policy);
        let config = ServerConfig::default().with_single_port(single_port);
        let server = Server::bind((host, 0).into(), namespace, config).unwrap();
        let (sender, events) = channel();
        let server = server.spawn(move |event| sender.send(event).unwrap()).unwrap();
        let client = UdpSocket::bind((host, 0)).unwrap();
        client.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        Self { folder, server, events, client, last: RefCell::default() }
    }

    fn request(&self, opcode: u8, name: &str) -> (Vec<u8>, SocketAddr) {
        let request = [&[0, opcode], name.as_bytes(), b"\0octet\0"].concat();
        self.exchange(&request, self.server.local_addr())
    }

    fn exchange(&self, packet: &[u8], to: SocketAddr) -> (Vec<u8>, SocketAddr) {
        self.client.send_to(packet, to).unwrap();
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = self.client.recv_from(&mut buffer).unwrap();
            let answer = buffer[..length].to_vec();
            // On a busy host, the server's timer may expire.
            if self.last.replace(answer.clone()) != answer {
                return (answer, from);
            }
        }
    }

    fn stored(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("put")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
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

fn packet(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

fn data(block: u16, payload: &[u8]) -> Vec<u8> {
    packet(&Packet::Data { block, payload })
}

fn ack(block: u16) -> Vec<u8> {
    packet(&Packet::Ack { block })
}

fn setups() -> impl Iterator<Item = (IpAddr, bool)> {
    let hosts = ["127.0.0.1", "::1"].map(|host| host.parse::<IpAddr>().unwrap());
    hosts.into_iter().flat_map(|host| [(host, false), (host, true)])
}

/// T5, T37: a transfer that its client has left is ended, reported as failed, and leaves nothing;
/// the file that the client asks for instead is the one that it gets.
#[test]
fn the_new_file_is_served() {
    for (host, single_port) in setups() {
        for (old, new) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let fixture = Fixture::new(host, single_port, WritePolicy::Overwrite);
            let (first, port) = fixture.request(old, "old");
            let answer = if old == 1 {
                assert_eq!(first, data(1, &[1; 512]));
                fixture.exchange(&ack(1), port).0
            } else {
                assert_eq!(first, ack(0));
                fixture.exchange(&data(1, &[3; 512]), port).0
            };
            assert_eq!(answer, if old == 1 { data(2, &[1; 512]) } else { ack(1) });
            let (first, port) = fixture.request(new, "new");
            let Event::Failed { reason, peer, bytes, .. } = fixture.end() else { panic!("ok") };
            assert_eq!((reason, bytes), (Failure::Replaced, 512));
            assert_eq!(peer, fixture.client.local_addr().unwrap());
            assert_eq!(fixture.stored(), [] as [PathBuf; 0]);
            if new == 1 {
                assert_eq!(first, data(1, &[2; 512]));
                assert_eq!(fixture.exchange(&ack(1), port).0, data(2, &[2; 188]));
                fixture.client.send_to(&ack(2), port).unwrap();
            } else {
                assert_eq!(first, ack(0));
                assert_eq!(fixture.exchange(&data(1, b"content"), port).0, ack(1));
                assert_eq!(fs::read(fixture.folder.path().join("put/new")).unwrap(), b"content");
            }
            let Event::Finished { peer, bytes, retransmits, duration, .. } = fixture.end() else {
                panic!("failed")
            };
            assert_eq!(bytes, if new == 1 { 700 } else { 7 });
            assert!(retransmits < 1000);
            assert_eq!(peer, fixture.client.local_addr().unwrap());
            assert!(duration > Duration::ZERO && duration < TIME_LIMIT);
        }
    }
}

/// T26: where no file may be replaced, the late double of a finished upload gets its last ACK too.
#[test]
fn a_late_double() {
    for (host, single_port) in setups() {
        let fixture = Fixture::new(host, single_port, WritePolicy::Create);
        let (first, port) = fixture.request(2, "up");
        assert_eq!(first, ack(0));
        assert_eq!(fixture.exchange(&data(1, b"content"), port).0, ack(1));
        for _ in 0..3 {
            fixture.last.take();
            assert_eq!(fixture.request(2, "up"), (ack(1), port));
        }
        assert_eq!(fixture.stored().len(), 1);
    }
}
