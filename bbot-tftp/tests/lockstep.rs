//! When a server may spin for the next packet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod virtual_server;

use std::net::SocketAddr;

use bbot_tftp::{PortId, ServerConfig};
use virtual_server::packets::ack;
use virtual_server::{VirtualServer, port_of};

const LISTENER: PortId = PortId::Listener;
const RRQ: &[u8] = b"\0\x01file\0octet\0";
const WRQ: &[u8] = b"\0\x02up\0octet\0";

/// It may for a single client, also between its transfers, but not for several ones.
#[test]
fn a_single_client_is_detected() {
    let client = |port| SocketAddr::from(([192, 0, 2, 7], port));
    let mut server = VirtualServer::new(ServerConfig::default());
    server.store.put("file", &[7; 700]);
    assert!(server.engine.is_lockstep(), "there is no client");
    server.receive(client(7777), LISTENER, RRQ);
    assert!(server.engine.is_lockstep(), "it waits for each answer");
    server.receive(client(7777), port_of(1), &ack(1));
    server.receive(client(7777), port_of(1), &ack(2));
    server.receive(client(7778), LISTENER, WRQ);
    assert!(server.engine.is_lockstep(), "the first transfer is over");
    server.receive(client(7779), LISTENER, RRQ);
    assert!(!server.engine.is_lockstep(), "there are two");
}
