//! When a server may spin for the next packet.

#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod world;

use std::net::SocketAddr;

use bbot_tftp::{LISTENER, ServerConfig};
use world::World;
use world::packets::ack;

const RRQ: &[u8] = b"\0\x01file\0octet\0";
const WRQ: &[u8] = b"\0\x02up\0octet\0";

/// A lone client, also between its transfers, is worth it; a crowd is not.
#[test]
fn a_lone_client_is_known() {
    let client = |port| SocketAddr::from(([192, 0, 2, 7], port));
    let mut world = World::new(ServerConfig::default());
    world.files.put("file", &[7; 700]);
    assert!(world.engine.is_lockstep(), "nobody is there");
    world.receive(client(7777), LISTENER, RRQ);
    assert!(world.engine.is_lockstep(), "it waits for each answer");
    world.receive(client(7777), 1, &ack(1));
    world.receive(client(7777), 1, &ack(2));
    world.receive(client(7778), LISTENER, WRQ);
    assert!(world.engine.is_lockstep(), "the first transfer is over");
    world.receive(client(7779), LISTENER, RRQ);
    assert!(!world.engine.is_lockstep(), "there are two");
}
