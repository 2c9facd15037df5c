//! The rules of docs/rules.md, one by one: hostile and unusual packets, sent to a server in virtual
//! time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod replacement;
mod requests;
mod transfers;
#[path = "../virtual_server/mod.rs"]
mod virtual_server;

use std::net::SocketAddr;
use std::time::Duration;

use bbot_tftp::{ErrorCode, PortId, ServerConfig};
use virtual_server::VirtualServer;
use virtual_server::packets::error;

const LISTENER: PortId = PortId::Listener;

const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 7], 7777);
const SECOND: Duration = Duration::from_secs(1);

fn client() -> SocketAddr {
    SocketAddr::from(CLIENT)
}

fn other_client() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 9999))
}

fn server() -> VirtualServer {
    with_file(ServerConfig::default())
}

fn single_port() -> VirtualServer {
    with_file(ServerConfig::default().with_single_port(true))
}

fn with_file(config: ServerConfig) -> VirtualServer {
    let server = VirtualServer::new(config);
    server.store.put("file", &[7; 1300]);
    server
}

const RRQ: &[u8] = b"\0\x01file\0octet\0";
const WRQ: &[u8] = b"\0\x02up\0octet\0";

impl VirtualServer {
    /// Handles a packet of the client [`client`]; returns the answers.
    fn ask(&mut self, port: PortId, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.receive(client(), port, bytes);
        self.commit();
        self.sent().into_iter().map(|packet| packet.bytes).collect()
    }
}

/// The block numbers of the DATA packets in `packets`.
fn blocks(packets: &[Vec<u8>]) -> Vec<u16> {
    let data = packets.iter().filter(|packet| packet.starts_with(&[0, 3]));
    data.map(|packet| u16::from_be_bytes([packet[2], packet[3]])).collect()
}

#[track_caller]
fn check_error(answers: &[Vec<u8>], code: ErrorCode) {
    let [answer] = answers else { panic!("not one answer: {answers:?}") };
    assert!(answer.starts_with(&error(code)), "{answer:?}");
    let text = &answer[4..];
    assert_eq!(text.last(), Some(&0), "without its NUL");
    assert!(text[..text.len() - 1].iter().all(|b| (b' '..=b'~').contains(b)), "not ASCII");
}
