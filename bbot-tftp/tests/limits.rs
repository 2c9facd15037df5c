//! What a server bounds beside the number of transfers: their time, descriptors, the disk.

#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod world;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bbot_tftp::{
    Client, ClientError, Engine, ErrorCode, Event, Failure, LISTENER, Limits, Namespace, Server,
    ServerConfig,
};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use world::World;
use world::packets::{ack, data, error};

const RRQ: &[u8] = b"\0\x01file\0octet\0blksize\x008\0";
const SECOND: Duration = Duration::from_secs(1);

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], port))
}

/// T22: a transfer that moves on for ever, but too slowly, ends when its time is over.
#[test]
fn the_whole_time_of_a_transfer() {
    let limits = Limits { total: SECOND * 100, ..Limits::default() };
    let mut world = World::new(ServerConfig { limits, ..ServerConfig::default() });
    world.files.put("file", &[7; 8000]);
    world.receive(peer(1), LISTENER, RRQ);
    world.sent();
    for block in 0..99 {
        world.receive(peer(1), 1, &ack(block));
        world.pass(SECOND);
        assert!(world.sent().iter().all(|packet| packet.bytes.starts_with(&[0, 3])), "{block}");
    }
    world.pass(SECOND * 2);
    let last = world.sent().pop().unwrap();
    assert!(last.bytes.starts_with(&error(ErrorCode::UNDEFINED)), "{last:?}");
    let ended = world.host.events.last().unwrap();
    assert!(matches!(ended, Event::Failed { reason: Failure::TimedOut, .. }), "{ended:?}");
    world.pass(SECOND);
    assert!(world.engine.is_idle());
}

/// T6: a client that never answers is given up long before one that did.
#[test]
fn the_time_of_the_first_answer() {
    let limits = Limits { first_answer: SECOND * 5, ..Limits::default() };
    let mut world = World::new(ServerConfig { limits, ..ServerConfig::default() });
    world.files.put("file", &[7; 8000]);
    world.receive(peer(1), LISTENER, RRQ);
    world.pass(SECOND * 4);
    assert!(!world.engine.is_idle());
    world.pass(SECOND * 2);
    assert!(world.engine.is_idle() && world.host.ports.is_empty());
    assert!(matches!(world.host.events[..], [Event::FirstRequest { .. }]), "nothing began");
}

/// Where the descriptors end, what runs goes on; what only waits makes room.
#[test]
fn descriptors() {
    let mut world = World::new(ServerConfig::default());
    let (config, files) = (ServerConfig::default(), Box::new(world.files.clone()));
    world.engine = Engine::new(config, files, 1 << 20, 2, world.now);
    world.files.put("file", &[7; 8000]);
    for port in [1, 2] {
        world.receive(peer(port), LISTENER, RRQ);
        world.receive(peer(port), port.into(), &ack(0));
    }
    world.sent();
    world.receive(peer(3), LISTENER, RRQ);
    assert!(world.sent()[0].bytes.starts_with(&error(ErrorCode::UNDEFINED)));
    world.receive(peer(1), 1, &ack(1));
    assert_eq!(world.sent()[0].bytes, data(2, &[7; 8]));
    // The first ends; a half-open request takes its place, and gives it to a later one.
    world.receive(peer(1), 1, &error(ErrorCode::UNDEFINED));
    for port in [3, 4] {
        world.receive(peer(port), LISTENER, RRQ);
        assert!(world.sent()[0].bytes.starts_with(&[0, 6]));
        assert_eq!(world.host.ports.len(), 2);
    }
    world.receive(peer(2), 2, &ack(1));
    assert_eq!(world.sent()[0].bytes, data(2, &[7; 8]));
}

/// Moves the calling thread to where a disk of 256 KiB is at `folder`.
fn mount_small_disk(folder: &Path) {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("this test runs as root");
    let (nothing, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(nothing, "/", nothing, private, nothing).unwrap();
    mount(Some("small"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
}

/// T25: a full disk is told by ERROR 3, the old file stays, and nothing is left of the new one.
#[test]
fn a_full_disk() {
    let folder = TempDir::with_prefix("bbot-").unwrap();
    mount_small_disk(folder.path());
    let namespace = Namespace::new().write(folder.path()).read(folder.path());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, namespace, ServerConfig::default()).unwrap();
    let server = server.spawn(drop).unwrap();
    let client = Client::new(server.local_addr()).block_size(1428);
    client.put("file", &vec![1; 100_000]).unwrap();
    for client in [client.clone(), client.clone().transfer_size(), client.clone().window_size(8)] {
        let failed = client.put("file", &vec![2; 300_000]).unwrap_err();
        let full = ErrorCode::DISK_FULL;
        assert!(
            matches!(failed, ClientError::Transfer(Failure::Peer { code, .. }) if code == full),
            "{failed:?}"
        );
        let mut got = Vec::new();
        client.get("file", &mut got).unwrap();
        assert!(got == vec![1; 100_000], "the old file has changed");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    client.put("another", &vec![3; 100_000]).unwrap();
}
