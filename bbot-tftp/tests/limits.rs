//! Limits other than the number of transfers: their duration, file descriptors, the disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod virtual_server;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use bbot_tftp::{
    BlockSize, Client, ClientError, ErrorCode, Event, Failure, Limits, Namespace, PortId,
    Resources, Server, ServerConfig,
};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use virtual_server::packets::{ack, data, error};
use virtual_server::{VirtualServer, port_of};

const LISTENER: PortId = PortId::Listener;
const RRQ: &[u8] = b"\0\x01file\0octet\0blksize\x008\0";
const SECOND: Duration = Duration::from_secs(1);

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], port))
}

/// T22: a transfer that makes progress, but too slowly, ends at its maximum duration.
#[test]
fn the_duration_of_a_transfer() {
    let limits = Limits::default().with_total(SECOND * 100);
    let mut server = VirtualServer::new(ServerConfig::default().with_limits(limits));
    server.store.put("file", &[7; 8000]);
    server.receive(peer(1), LISTENER, RRQ);
    server.sent();
    for block in 0..99 {
        server.receive(peer(1), port_of(1), &ack(block));
        server.pass(SECOND);
        assert!(server.sent().iter().all(|packet| packet.bytes.starts_with(&[0, 3])), "{block}");
    }
    server.pass(SECOND * 2);
    let last = server.sent().pop().unwrap();
    assert!(last.bytes.starts_with(&error(ErrorCode::UNDEFINED)), "{last:?}");
    let ended = server.host.events.last().unwrap();
    assert!(matches!(ended, Event::Failed { reason: Failure::TimedOut, .. }), "{ended:?}");
    server.pass(SECOND);
    assert!(server.engine.is_idle());
}

/// T6: a client that never answers is given up earlier than one that has.
#[test]
fn the_time_of_the_first_answer() {
    let limits = Limits::default().with_first_answer(SECOND * 5);
    let mut server = VirtualServer::new(ServerConfig::default().with_limits(limits));
    server.store.put("file", &[7; 8000]);
    server.receive(peer(1), LISTENER, RRQ);
    server.pass(SECOND * 4);
    assert!(!server.engine.is_idle());
    server.pass(SECOND * 2);
    assert!(server.engine.is_idle() && server.host.ports.is_empty());
    assert!(
        matches!(server.host.events[..], [Event::FirstRequest { .. }]),
        "no transfer has started"
    );
}

/// Times that are as long as a `Duration` can be mean that there is no limit.
#[test]
fn unlimited_times() {
    let max = Duration::MAX;
    let limits = Limits::default().with_idle(max).with_first_answer(max).with_total(max);
    let folder = TempDir::with_prefix("bbot-").unwrap();
    let namespace = Namespace::new().write(folder.path()).read(folder.path());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig::default().with_limits(limits).with_spin(max);
    let server = Server::bind(any, namespace, config).unwrap().spawn(drop).unwrap();
    let client = Client::new(server.local_addr()).idle_limit(max).spin(max);
    client.put("file", &b"content".to_vec()).unwrap();
    let mut got = Vec::new();
    client.get("file", &mut got).unwrap();
    assert_eq!(got, b"content");
    server.drain(max);
}

/// At the limit of descriptors, transfers in progress go on; half-open ones are dropped.
#[test]
fn descriptors() {
    let resources = Resources::default().with_max_sessions(2);
    let mut server = VirtualServer::with_resources(ServerConfig::default(), resources);
    server.store.put("file", &[7; 8000]);
    for port in [1, 2] {
        server.receive(peer(port), LISTENER, RRQ);
        server.receive(peer(port), port_of(port.into()), &ack(0));
    }
    server.sent();
    server.receive(peer(3), LISTENER, RRQ);
    assert!(server.sent()[0].bytes.starts_with(&error(ErrorCode::UNDEFINED)));
    server.receive(peer(1), port_of(1), &ack(1));
    assert_eq!(server.sent()[0].bytes, data(2, &[7; 8]));
    // The first one ends; a half-open transfer takes its place, and is dropped for a later one.
    server.receive(peer(1), port_of(1), &error(ErrorCode::UNDEFINED));
    for port in [3, 4] {
        server.receive(peer(port), LISTENER, RRQ);
        assert!(server.sent()[0].bytes.starts_with(&[0, 6]));
        assert_eq!(server.host.ports.len(), 2);
    }
    server.receive(peer(2), port_of(2), &ack(1));
    assert_eq!(server.sent()[0].bytes, data(2, &[7; 8]));
}

/// Moves the calling thread to a mount namespace with a file system of 256 KiB at `folder`.
fn mount_small_disk(folder: &Path) {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("this test runs as root");
    let (nothing, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(nothing, "/", nothing, private, nothing).unwrap();
    mount(Some("small"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
}

/// T25: a full disk is reported by ERROR 3; the old file is kept, and nothing is left of the
/// new one.
#[test]
fn a_full_disk() {
    let folder = TempDir::with_prefix("bbot-").unwrap();
    mount_small_disk(folder.path());
    let namespace = Namespace::new().write(folder.path()).read(folder.path());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, namespace, ServerConfig::default()).unwrap();
    let server = server.spawn(drop).unwrap();
    let client = Client::new(server.local_addr()).block_size(BlockSize::new(1428).unwrap());
    client.put("file", &vec![1; 100_000]).unwrap();
    for client in [
        client.clone(),
        client.clone().transfer_size(),
        client.clone().window_size(NonZeroU16::new(8).unwrap()),
    ] {
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
