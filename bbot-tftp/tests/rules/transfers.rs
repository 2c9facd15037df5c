//! Transfers from their first block on: T13 to T25.

use std::net::SocketAddr;
use std::time::Duration;

use bbot_tftp::{ErrorCode, Event, Rollover, ServerConfig};

use crate::virtual_server::packets::{ack, data, error};
use crate::virtual_server::{VirtualServer, port_of};
use crate::{LISTENER, RRQ, SECOND, WRQ, blocks, check_error, client, other_client, server};

/// T13: a block that is too long is never stored; a short block that is not the next one does not
/// end the transfer.
#[test]
fn blocks_of_wrong_lengths() {
    let mut server = server();
    server.ask(LISTENER, WRQ);
    assert!(server.ask(port_of(1), &data(0, b"")).is_empty());
    assert!(server.ask(port_of(1), &data(2, b"early")).is_empty());
    check_error(&server.ask(port_of(1), &data(1, &[1; 513])), ErrorCode::ILLEGAL);
    assert!(server.engine.is_idle());
    assert_eq!(server.store.get("up"), None);
}

/// T13: a file of full blocks ends with an empty one.
#[test]
fn empty_last_block() {
    let mut server = server();
    server.store.put("file", &[1; 1024]);
    server.ask(LISTENER, RRQ);
    server.ask(port_of(1), &ack(1));
    assert_eq!(server.ask(port_of(1), &ack(2)), [data(3, b"")]);
    assert!(server.ask(port_of(1), &ack(3)).is_empty());
    assert!(server.engine.is_idle());
}

/// T14: 1 follows 65535 if so configured.
#[test]
fn rollover_to_one() {
    let config = ServerConfig::default().with_rollover(Rollover::One);
    let mut server = VirtualServer::new(config);
    server.store.put("file", &vec![1; 8 * 65_537]);
    server.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0");
    server.ask(port_of(1), &ack(0));
    for block in 1..65_535 {
        server.receive(client(), port_of(1), &ack(block));
    }
    server.sent();
    assert_eq!(blocks(&server.ask(port_of(1), &ack(65_535))), [1]);
    assert_eq!(blocks(&server.ask(port_of(1), &ack(1))), [2]);
}

/// T15, T20: in lockstep, a duplicate ACK causes no DATA; a duplicate DATA is acknowledged again
/// and written once.
#[test]
fn sorcerers_apprentice() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    assert_eq!(blocks(&server.ask(port_of(1), &ack(1))), [2]);
    for _ in 0..5 {
        assert!(server.ask(port_of(1), &ack(1)).is_empty());
        assert!(server.ask(port_of(1), &ack(0)).is_empty());
    }
    let mut server = crate::server();
    server.ask(LISTENER, WRQ);
    for _ in 0..3 {
        assert_eq!(server.ask(port_of(1), &data(1, &[1; 512])), [ack(1)]);
    }
    assert_eq!(server.ask(port_of(1), &data(2, b"end")), [ack(2)]);
    assert_eq!(server.store.get("up").unwrap(), [&[1; 512][..], b"end"].concat());
}

/// T16: an ACK of a block that was never sent is ignored.
#[test]
fn acks_of_unsent_blocks() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    for block in [2, 3, 100, 65_535] {
        assert!(server.ask(port_of(1), &ack(block)).is_empty());
    }
    assert_eq!(blocks(&server.ask(port_of(1), &ack(1))), [2]);
}

fn windowed(count: usize) -> VirtualServer {
    let mut server = VirtualServer::new(ServerConfig::default());
    server.store.put("file", &vec![3; 8 * count]);
    server.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0windowsize\x004\0");
    assert_eq!(blocks(&server.ask(port_of(1), &ack(0))), [1, 2, 3, 4]);
    server
}

/// T17: the next window begins after the last ACK, at once if that lies inside the window.
#[test]
fn windows_are_sent() {
    let mut server = windowed(100);
    assert_eq!(blocks(&server.ask(port_of(1), &ack(4))), [5, 6, 7, 8]);
    assert_eq!(blocks(&server.ask(port_of(1), &ack(6))), [7, 8, 9, 10]);
    assert!(server.ask(port_of(1), &ack(5)).is_empty(), "before the base");
    server.pass(SECOND * 5);
    let again: Vec<_> = server.sent().into_iter().map(|packet| packet.bytes).collect();
    assert_eq!(blocks(&again)[..2], [7, 8]);
}

/// T19: an ACK of the base restarts the window, once; T22: and does not reset the timer.
#[test]
fn the_first_block_of_a_window_is_lost() {
    let mut server = windowed(100);
    server.ask(port_of(1), &ack(4));
    let deadline = server.engine.poll_timeout();
    assert_eq!(blocks(&server.ask(port_of(1), &ack(4))), [5, 6, 7, 8]);
    for _ in 0..10 {
        assert!(server.ask(port_of(1), &ack(4)).is_empty());
    }
    assert_eq!(server.engine.poll_timeout(), deadline);
}

fn windowed_upload() -> VirtualServer {
    let mut server = VirtualServer::new(ServerConfig::default());
    server.ask(LISTENER, b"\0\x02up\0octet\0blksize\x008\0windowsize\x004\0");
    server
}

/// T18: a window gets one ACK, a gap one, a timeout one; blocks after a gap are not kept.
#[test]
fn windows_are_received() {
    let mut server = windowed_upload();
    for block in 1..4 {
        assert!(server.ask(port_of(1), &data(block, &[1; 8])).is_empty());
    }
    assert_eq!(server.ask(port_of(1), &data(4, &[1; 8])), [ack(4)]);
    assert!(server.ask(port_of(1), &data(5, &[2; 8])).is_empty());
    assert_eq!(server.ask(port_of(1), &data(7, &[9; 8])), [ack(5)]);
    assert!(server.ask(port_of(1), &data(8, &[9; 8])).is_empty());
    assert!(server.ask(port_of(1), &data(6, &[3; 8])).is_empty());
    server.pass(SECOND * 5);
    let again: Vec<_> = server.sent().into_iter().map(|packet| packet.bytes).collect();
    assert!(!again.is_empty() && again.iter().all(|packet| *packet == ack(6)));
    assert_eq!(server.ask(port_of(1), &data(7, b"")), [ack(7)]);
    let stored = server.store.get("up").unwrap();
    assert_eq!(stored, [[1; 8], [1; 8], [1; 8], [1; 8], [2; 8], [3; 8]].concat());
}

/// T21, T22: duplicates and other packets do not keep a transfer alive; its end is reported to both
/// sides.
#[test]
fn only_progress_counts() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    server.ask(port_of(1), &ack(1));
    let mut answers = Vec::new();
    for _ in 0..100 {
        server.pass(SECOND);
        if server.engine.is_idle() {
            break;
        }
        answers = server.ask(port_of(1), &ack(1));
        answers.extend(server.ask(port_of(1), b"noise"));
        answers.extend(server.ask(port_of(1), &ack(60_000)));
        server.pass(Duration::ZERO);
    }
    assert!(server.engine.is_idle());
    assert!(server.now - server.start < SECOND * 33);
    answers.extend(server.sent().into_iter().map(|packet| packet.bytes));
    check_error(&answers[answers.len() - 1..], ErrorCode::UNDEFINED);
    assert!(matches!(server.host.events.last(), Some(Event::Failed { .. })));
}

/// T21: a negotiated timeout is the interval of retransmissions.
#[test]
fn negotiated_timeout() {
    let mut server = server();
    server.ask(LISTENER, b"\0\x01file\0octet\0timeout\x003\0");
    server.ask(port_of(1), &ack(0));
    for _ in 0..4 {
        server.pass(Duration::from_millis(2999));
        assert_eq!(server.sent(), []);
        server.pass(Duration::from_millis(1));
        assert_eq!(server.sent().len(), 1);
    }
}

/// T23: while windows are lost, they are sent in smaller and smaller parts.
#[test]
fn lost_windows_are_paced() {
    let mut server = windowed(100);
    for _ in 0..3 {
        let at = server.engine.poll_timeout().unwrap();
        server.pass(at - server.now);
        while server.sent().is_empty() {
            let at = server.engine.poll_timeout().unwrap();
            server.pass(at - server.now);
        }
        server.pass(Duration::from_millis(50));
        server.sent();
    }
    let at = server.engine.poll_timeout().unwrap();
    server.pass(at - server.now);
    assert_eq!(server.sent().len(), 1, "one block, then a pause");
}

/// T25: the last block is not acknowledged before the file is durable under its name.
#[test]
fn the_last_ack_follows_the_commit() {
    let mut server = server();
    server.ask(LISTENER, WRQ);
    for _ in 0..3 {
        server.receive(client(), port_of(1), &data(1, b"complete"));
        server.pass(SECOND * 60);
        assert_eq!(server.sent(), []);
    }
    server.receive(client(), port_of(1), &error(ErrorCode::UNDEFINED));
    server.commit();
    assert_eq!(server.sent()[0].bytes, ack(1));
    assert!(matches!(server.host.events.last(), Some(Event::Finished { bytes: 8, .. })));
    server.ask(LISTENER, b"\0\x02fails\0octet\0");
    let port = *server.host.ports.iter().max().unwrap();
    check_error(&server.ask(port, &data(1, b"lost")), ErrorCode::DISK_FULL);
    assert!(matches!(server.host.events.last(), Some(Event::Failed { .. })));
}

/// The port of a failed transfer receives, and drops, what its client has sent meanwhile.
#[test]
fn failures_linger() {
    let mut server = server();
    server.ask(LISTENER, WRQ);
    server.ask(port_of(1), &data(1, &[1; 512]));
    check_error(&server.ask(port_of(1), &data(2, &[1; 513])), ErrorCode::ILLEGAL);
    assert!(server.ask(port_of(1), &data(2, &[1; 512])).is_empty());
    assert!(server.host.ports.contains(&port_of(1)));
    server.pass(SECOND);
    assert!(server.engine.is_idle() && server.host.ports.is_empty());
}

/// A full send buffer is not a loss: the rest is sent a moment later.
#[test]
fn congestion() {
    let mut server = VirtualServer::new(ServerConfig::default());
    server.store.put("file", &[3; 800]);
    server.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0windowsize\x008\0");
    server.host.congested_after = Some(3);
    assert_eq!(blocks(&server.ask(port_of(1), &ack(0))), [1, 2, 3]);
    server.pass(Duration::from_millis(2));
    let rest: Vec<_> = server.sent().into_iter().map(|packet| packet.bytes).collect();
    assert_eq!(blocks(&rest), [4, 5, 6, 7, 8]);
}

/// T34: a drain finishes complete uploads and downloads in progress, ends other transfers with an
/// ERROR, and begins none.
#[test]
fn drains() {
    let mut server = server();
    let [third, fourth] = [10, 11].map(|host| SocketAddr::from(([192, 0, 2, host], 9999)));
    server.receive(third, LISTENER, RRQ);
    server.receive(third, port_of(1), &ack(1));
    server.receive(fourth, LISTENER, b"\0\x02partial\0octet\0");
    server.receive(fourth, port_of(2), &data(1, &[1; 512]));
    server.receive(client(), LISTENER, WRQ);
    server.receive(client(), port_of(3), &data(1, b"complete"));
    server.receive(other_client(), LISTENER, RRQ);
    server.sent();
    let now = server.now;
    server.engine.drain(now, &mut server.host);
    let mut errors = server.sent();
    errors.sort_by_key(|packet| packet.to);
    let told: Vec<_> = errors.iter().map(|packet| packet.to).collect();
    assert_eq!(told, [other_client(), fourth]);
    for packet in errors {
        check_error(&[packet.bytes], ErrorCode::UNDEFINED);
    }
    server.commit();
    assert_eq!(server.sent().pop().unwrap().bytes, ack(1));
    assert_eq!(server.store.get("up").unwrap(), b"complete");
    check_error(&server.ask(LISTENER, RRQ), ErrorCode::UNDEFINED);
    // The repeated request of a download in progress changes nothing.
    server.receive(third, LISTENER, RRQ);
    assert_eq!(server.sent(), []);
    server.receive(third, port_of(1), &ack(2));
    assert_eq!(blocks(&[server.sent().pop().unwrap().bytes]), [3]);
    assert!(!server.engine.is_idle());
    server.receive(third, port_of(1), &ack(3));
    assert!(server.engine.is_idle() && server.host.ports.is_empty());
    assert!(server.store.get("partial").is_none());
}

/// T34: what waits for complete uploads ends downloads, too.
#[test]
fn uploads_finish() {
    let mut server = server();
    server.receive(client(), LISTENER, RRQ);
    server.receive(client(), port_of(1), &ack(1));
    server.receive(other_client(), LISTENER, WRQ);
    server.receive(other_client(), port_of(2), &data(1, b"complete"));
    server.sent();
    let now = server.now;
    server.engine.finish_uploads(now, &mut server.host);
    let told = server.sent().pop().unwrap();
    assert_eq!(told.to, client());
    check_error(&[told.bytes], ErrorCode::UNDEFINED);
    server.commit();
    assert_eq!(server.sent().pop().unwrap().bytes, ack(1));
    assert!(server.engine.is_idle());
}
