//! Hostile and unusual packets, one by one, against a whole server in virtual time.

#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use bbot_tftp::{ErrorCode, Event, LISTENER, Limits, Rollover, ServerConfig};
use world::packets::{ack, data, error};
use world::{Packet, World};

const PEER: ([u8; 4], u16) = ([192, 0, 2, 7], 7777);
const SECOND: Duration = Duration::from_secs(1);

fn peer() -> SocketAddr {
    SocketAddr::from(PEER)
}

fn stranger() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 9999))
}

fn world() -> World {
    with_file(ServerConfig::default())
}

fn single_port() -> World {
    with_file(ServerConfig { single_port: true, ..ServerConfig::default() })
}

fn limited(limits: Limits) -> World {
    with_file(ServerConfig { limits, ..ServerConfig::default() })
}

fn with_file(config: ServerConfig) -> World {
    let world = World::new(config);
    world.files.put("file", &[7; 1300]);
    world
}

const RRQ: &[u8] = b"\0\x01file\0octet\0";
const WRQ: &[u8] = b"\0\x02up\0octet\0";

impl World {
    /// A packet of the usual client; returns the answers.
    fn ask(&mut self, port: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.receive(peer(), port, bytes);
        self.commit();
        self.sent().into_iter().map(|packet| packet.bytes).collect()
    }

    /// The block numbers of the DATA packets in `packets`.
    fn blocks(packets: &[Vec<u8>]) -> Vec<u16> {
        let data = packets.iter().filter(|packet| packet.starts_with(&[0, 3]));
        data.map(|packet| u16::from_be_bytes([packet[2], packet[3]])).collect()
    }
}

#[track_caller]
fn check_error(answers: &[Vec<u8>], code: ErrorCode) {
    let [answer] = answers else { panic!("not one answer: {answers:?}") };
    assert!(answer.starts_with(&error(code)), "{answer:?}");
    let text = &answer[4..];
    assert_eq!(text.last(), Some(&0), "without its NUL");
    assert!(text[..text.len() - 1].iter().all(|b| (b' '..=b'~').contains(b)), "not ASCII");
}

/// T1: a fresh port for each transfer; in single-port mode the one that was asked.
#[test]
fn ports_of_answers() {
    let mut world = world();
    world.receive(peer(), LISTENER, RRQ);
    world.receive(stranger(), LISTENER, RRQ);
    let ports: Vec<_> = world.sent().iter().map(|p| (p.port, p.to)).collect();
    assert_eq!(ports, [(1, peer()), (2, stranger())]);
    let mut world = single_port();
    world.receive(peer(), LISTENER, RRQ);
    world.receive(peer(), LISTENER, &ack(1));
    let packets = world.sent();
    assert!(packets.iter().all(|p| p.port == LISTENER && p.to == peer()));
    assert_eq!(packets.len(), 2);
}

/// T2: a stranger gets ERROR 5, at a bounded rate, and the transfer is not touched.
#[test]
fn strangers() {
    let mut world = world();
    world.ask(LISTENER, RRQ);
    let deadline = world.engine.poll_timeout();
    for _ in 0..1000 {
        world.receive(stranger(), 1, &ack(1));
    }
    let answers = world.sent();
    let most = usize::try_from(Limits::default().errors_per_second).unwrap();
    assert_eq!(answers.len(), most);
    for Packet { port, to, bytes } in answers {
        assert_eq!((port, to), (1, stranger()));
        check_error(&[bytes], ErrorCode::UNKNOWN_TID);
    }
    assert_eq!(world.engine.poll_timeout(), deadline);
    assert_eq!(World::blocks(&world.ask(1, &ack(1))), [2]);
}

/// T2: an ERROR is answered by nobody, wherever it comes from and goes to.
#[test]
fn errors_are_not_answered() {
    for mut world in [world(), single_port()] {
        world.receive(peer(), LISTENER, &error(ErrorCode::UNDEFINED));
        world.receive(peer(), LISTENER, RRQ);
        assert_eq!(world.sent().len(), 1);
        world.receive(stranger(), 1, &error(ErrorCode::UNDEFINED));
        world.receive(stranger(), LISTENER, &error(ErrorCode::UNKNOWN_TID));
        let port = if world.host.ports.is_empty() { LISTENER } else { 1 };
        world.receive(peer(), port, &error(ErrorCode::UNDEFINED));
        assert_eq!(world.sent(), []);
        assert!(world.engine.is_idle(), "the transfer's own ERROR ends it");
    }
}

/// T2: DATA and ACK that belong to nothing get ERROR 5, also in single-port mode.
#[test]
fn strays_on_the_listener() {
    for mut world in [world(), single_port()] {
        for stray in [&ack(3)[..], &data(1, b"x"), b"\0\x06blksize\x008\0"] {
            check_error(&world.ask(LISTENER, stray), ErrorCode::UNKNOWN_TID);
        }
    }
}

/// T4: what is no request makes no session; what looks like one is told so at once.
#[test]
fn malformed_requests() {
    let mut world = world();
    for junk in
        [&b""[..], b"\0", b"\x01", b"\0\x07", b"\0\0", b"\xff\xff\xff", b"\0\x03", &[0; 600]]
    {
        assert_eq!(world.ask(LISTENER, junk), [[]; 0] as [[u8; 0]; 0], "{junk:?}");
    }
    for broken in [
        &b"\0\x01"[..],
        b"\0\x01file",
        b"\0\x01file\0octet",
        b"\0\x02\0octet\0",
        b"\0\x01file\0octet\0blksize\0",
        b"\0\x01file\0octet\0blksize\x008",
    ] {
        check_error(&world.ask(LISTENER, broken), ErrorCode::ILLEGAL);
    }
    for mode in ["netascii", "NETASCII", "mail", "octet8", ""] {
        let request = format!("\0\x01file\0{mode}\0");
        check_error(&world.ask(LISTENER, request.as_bytes()), ErrorCode::ILLEGAL);
    }
    let long = [b"\0\x01file\0octet\0x\0".to_vec(), vec![b'y'; 2100], vec![0]].concat();
    assert!(world.ask(LISTENER, &long).is_empty());
    assert!(world.engine.is_idle());
    assert_eq!(World::blocks(&world.ask(LISTENER, b"\0\x01/file\0OCTET\0\0\0")), [1]);
}

/// T5: a repeated request repeats the first packet; later it means nothing; after the end it
/// begins anew.
#[test]
fn repeated_requests() {
    let mut world = world();
    let first = world.ask(LISTENER, RRQ);
    assert_eq!(world.ask(LISTENER, RRQ), first);
    assert_eq!(world.host.ports.len(), 1);
    assert_eq!(World::blocks(&world.ask(1, &ack(1))), [2]);
    assert!(world.ask(LISTENER, RRQ).is_empty());
    world.ask(1, &ack(2));
    world.ask(1, &ack(3));
    assert_eq!(World::blocks(&world.ask(LISTENER, RRQ)), [1]);
    assert_eq!(world.host.ports.len(), 1);
    // Another file from the same port: the client has changed its mind.
    check_error(&world.ask(LISTENER, b"\0\x01other\0octet\0"), ErrorCode::NOT_FOUND);
    assert!(world.engine.is_idle());
}

/// T5, T24: an upload's end is remembered, and a new request from its port forgets it.
#[test]
fn tombstones() {
    for mut world in [world(), single_port()] {
        let port = |world: &World| *world.host.ports.iter().max().unwrap_or(&LISTENER);
        assert_eq!(world.ask(LISTENER, WRQ), [ack(0)]);
        let first = port(&world);
        assert_eq!(world.ask(first, &data(1, b"one")), [ack(1)]);
        for _ in 0..3 {
            world.pass(SECOND);
            assert_eq!(world.ask(first, &data(1, b"one")), [ack(1)]);
        }
        assert!(world.ask(first, &data(9, b"what?")).is_empty());
        assert_eq!(world.ask(LISTENER, WRQ), [ack(0)]);
        let second = port(&world);
        assert_eq!(world.ask(second, &data(1, b"two")), [ack(1)]);
        assert_eq!(world.files.get("up").unwrap(), b"two");
        world.pass(SECOND * 31);
        assert!(world.engine.is_idle() && world.host.ports.is_empty());
    }
}

/// T6: a closed port ends the session of that peer at once, and no other.
#[test]
fn closed_ports() {
    for mut world in [world(), single_port()] {
        world.receive(peer(), LISTENER, RRQ);
        world.receive(stranger(), LISTENER, RRQ);
        let (now, first) = (world.now, if world.host.ports.is_empty() { LISTENER } else { 1 });
        world.engine.handle_unreachable(first, peer(), now, &mut world.host);
        world.engine.handle_unreachable(first, peer(), now, &mut world.host);
        world.sent();
        world.pass(SECOND);
        let left = world.sent();
        assert!(!left.is_empty() && left.iter().all(|packet| packet.to == stranger()));
    }
}

/// T7, T8: the OACK, byte for byte; it waits for ACK 0 and is sent again like any packet.
#[test]
fn option_acks() {
    let mut world = world();
    let request = b"\0\x01file\0octet\0TSIZE\x000\0BlkSize\x001000\0multicast\0\0blksize\x008\0";
    let oack = b"\0\x06blksize\x001000\0tsize\x001300\0".to_vec();
    assert_eq!(world.ask(LISTENER, request), std::slice::from_ref(&oack));
    assert!(world.ask(1, &ack(1)).is_empty(), "nothing was sent yet");
    world.pass(SECOND);
    assert_eq!(world.sent()[0].bytes, oack);
    assert_eq!(World::blocks(&world.ask(1, &ack(0))), [1]);
    // No option that is known: no OACK.
    let mut world = self::world();
    assert_eq!(World::blocks(&world.ask(LISTENER, b"\0\x01file\0octet\0foo\x001\0")), [1]);
}

/// T8: a probe for the size ends silently.
#[test]
fn size_probes() {
    let mut world = world();
    world.ask(LISTENER, b"\0\x01file\0octet\0tsize\x000\0");
    assert!(world.ask(1, &error(ErrorCode::OPTION)).is_empty());
    assert!(world.engine.is_idle());
    assert!(matches!(world.host.events[..], [Event::FirstRequest { .. }]));
}

/// T9, T10: values that are no numbers or out of range are left out.
#[test]
fn strange_values() {
    for value in ["-1", "0", "7", "512x", "abc", "", "99999999999999999999999", "0x200", "1e3"] {
        let mut world = world();
        let request =
            format!("\0\x01file\0octet\0blksize\0{value}\0windowsize\0-1\0timeout\x00999\0");
        assert_eq!(World::blocks(&world.ask(LISTENER, request.as_bytes())), [1], "{value}");
    }
}

/// T10: the announced size of an upload is a reason to refuse, and nothing else.
#[test]
fn sizes_that_lie() {
    let mut world = world();
    let request = format!("\0\x02up\0octet\0tsize\0{}\0", 1_u64 << 62);
    check_error(&world.ask(LISTENER, request.as_bytes()), ErrorCode::DISK_FULL);
    world.ask(LISTENER, b"\0\x02up\0octet\0tsize\x001000\0");
    let port = *world.host.ports.iter().next().unwrap();
    assert_eq!(world.ask(port, &data(1, b"four")), [ack(1)]);
    assert_eq!(world.files.get("up").unwrap(), b"four");
}

/// T11, T12: a window fits the receive buffer; an operator's cap holds.
#[test]
fn windows_fit_the_buffer() {
    let mut world = World::new(ServerConfig { max_blksize: 1428, ..ServerConfig::default() });
    world.host.room = 212_992;
    let answer = world.ask(LISTENER, b"\0\x02up\0octet\0blksize\x0065464\0windowsize\x00500\0");
    assert_eq!(answer, [b"\0\x06blksize\x001428\0windowsize\x0092\0".to_vec()]);
    let mut world = World::new(ServerConfig::default());
    world.host.room = 212_992;
    let answer = world.ask(LISTENER, b"\0\x02up\0octet\0blksize\x0065464\0windowsize\x0016\0");
    assert_eq!(answer, [b"\0\x06blksize\x0065464\0windowsize\x001\0".to_vec()]);
}

/// T11: in single-port mode the uploads share one buffer, and give it back.
#[test]
fn uploads_share_the_buffer() {
    let mut world = single_port();
    let request = b"\0\x02up\0octet\0blksize\x0065464\0windowsize\x0064\0";
    let granted = |answer: &[Vec<u8>]| String::from_utf8_lossy(&answer[0]).into_owned();
    let all = granted(&world.ask(LISTENER, request));
    assert!(all.contains("windowsize\x007\0"), "{all:?}");
    world.receive(stranger(), LISTENER, request);
    assert!(world.sent()[0].bytes.ends_with(b"windowsize\x001\0"));
    world.receive(stranger(), LISTENER, &error(ErrorCode::UNDEFINED));
    world.ask(LISTENER, &error(ErrorCode::UNDEFINED));
    assert_eq!(granted(&world.ask(LISTENER, request)), all);
}

/// T13: a block that is too long is never stored; one that is too early or empty is no end.
#[test]
fn blocks_of_wrong_lengths() {
    let mut world = world();
    world.ask(LISTENER, WRQ);
    assert!(world.ask(1, &data(0, b"")).is_empty());
    assert!(world.ask(1, &data(2, b"early")).is_empty());
    check_error(&world.ask(1, &data(1, &[1; 513])), ErrorCode::ILLEGAL);
    assert!(world.engine.is_idle());
    assert_eq!(world.files.get("up"), None);
}

/// T13: a file of whole blocks ends with an empty one.
#[test]
fn empty_last_block() {
    let mut world = world();
    world.files.put("file", &[1; 1024]);
    world.ask(LISTENER, RRQ);
    world.ask(1, &ack(1));
    assert_eq!(world.ask(1, &ack(2)), [data(3, b"")]);
    assert!(world.ask(1, &ack(3)).is_empty());
    assert!(world.engine.is_idle());
}

/// T14: 1 after 65535 where the operator says so.
#[test]
fn rollover_to_one() {
    let config = ServerConfig { rollover: Rollover::One, ..ServerConfig::default() };
    let mut world = World::new(config);
    world.files.put("file", &vec![1; 8 * 65_537]);
    world.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0");
    world.ask(1, &ack(0));
    for block in 1..65_535 {
        world.receive(peer(), 1, &ack(block));
    }
    world.sent();
    assert_eq!(World::blocks(&world.ask(1, &ack(65_535))), [1]);
    assert_eq!(World::blocks(&world.ask(1, &ack(1))), [2]);
}

/// T15, T20: in lockstep a duplicate ACK sends nothing; a duplicate DATA is acknowledged again
/// and written once.
#[test]
fn sorcerers_apprentice() {
    let mut world = world();
    world.ask(LISTENER, RRQ);
    assert_eq!(World::blocks(&world.ask(1, &ack(1))), [2]);
    for _ in 0..5 {
        assert!(world.ask(1, &ack(1)).is_empty());
        assert!(world.ask(1, &ack(0)).is_empty());
    }
    let mut world = self::world();
    world.ask(LISTENER, WRQ);
    for _ in 0..3 {
        assert_eq!(world.ask(1, &data(1, &[1; 512])), [ack(1)]);
    }
    assert_eq!(world.ask(1, &data(2, b"end")), [ack(2)]);
    assert_eq!(world.files.get("up").unwrap(), [&[1; 512][..], b"end"].concat());
}

/// T16: an ACK of a block that was never sent is ignored.
#[test]
fn acks_from_the_future() {
    let mut world = world();
    world.ask(LISTENER, RRQ);
    for block in [2, 3, 100, 65_535] {
        assert!(world.ask(1, &ack(block)).is_empty());
    }
    assert_eq!(World::blocks(&world.ask(1, &ack(1))), [2]);
}

fn windowed(blocks: usize) -> World {
    let mut world = World::new(ServerConfig::default());
    world.files.put("file", &vec![3; 8 * blocks]);
    world.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0windowsize\x004\0");
    assert_eq!(World::blocks(&world.ask(1, &ack(0))), [1, 2, 3, 4]);
    world
}

/// T17: the next window begins after the last ACK, at once when that lies inside the window.
#[test]
fn windows_are_sent() {
    let mut world = windowed(100);
    assert_eq!(World::blocks(&world.ask(1, &ack(4))), [5, 6, 7, 8]);
    assert_eq!(World::blocks(&world.ask(1, &ack(6))), [7, 8, 9, 10]);
    assert!(world.ask(1, &ack(5)).is_empty(), "older than the base");
    world.pass(SECOND * 5);
    let again: Vec<_> = world.sent().into_iter().map(|packet| packet.bytes).collect();
    assert_eq!(World::blocks(&again)[..2], [7, 8]);
}

/// T19: an ACK of the base restarts the window, once; T22: without touching the timer.
#[test]
fn the_first_block_of_a_window_is_lost() {
    let mut world = windowed(100);
    world.ask(1, &ack(4));
    let deadline = world.engine.poll_timeout();
    assert_eq!(World::blocks(&world.ask(1, &ack(4))), [5, 6, 7, 8]);
    for _ in 0..10 {
        assert!(world.ask(1, &ack(4)).is_empty());
    }
    assert_eq!(world.engine.poll_timeout(), deadline);
}

fn windowed_upload() -> World {
    let mut world = World::new(ServerConfig::default());
    world.ask(LISTENER, b"\0\x02up\0octet\0blksize\x008\0windowsize\x004\0");
    world
}

/// T18: one ACK for a window, one for each gap, one after a pause; nothing is kept beyond a gap.
#[test]
fn windows_are_received() {
    let mut world = windowed_upload();
    for block in 1..4 {
        assert!(world.ask(1, &data(block, &[1; 8])).is_empty());
    }
    assert_eq!(world.ask(1, &data(4, &[1; 8])), [ack(4)]);
    assert!(world.ask(1, &data(5, &[2; 8])).is_empty());
    assert_eq!(world.ask(1, &data(7, &[9; 8])), [ack(5)]);
    assert!(world.ask(1, &data(8, &[9; 8])).is_empty());
    assert!(world.ask(1, &data(6, &[3; 8])).is_empty());
    world.pass(SECOND * 5);
    let again: Vec<_> = world.sent().into_iter().map(|packet| packet.bytes).collect();
    assert!(!again.is_empty() && again.iter().all(|packet| *packet == ack(6)));
    assert_eq!(world.ask(1, &data(7, b"")), [ack(7)]);
    let stored = world.files.get("up").unwrap();
    assert_eq!(stored, [[1; 8], [1; 8], [1; 8], [1; 8], [2; 8], [3; 8]].concat());
}

/// T21, T22: duplicates and junk keep no session alive, and the end is told.
#[test]
fn only_progress_counts() {
    let mut world = world();
    world.ask(LISTENER, RRQ);
    world.ask(1, &ack(1));
    let mut told = Vec::new();
    for _ in 0..100 {
        world.pass(SECOND);
        if world.engine.is_idle() {
            break;
        }
        told = world.ask(1, &ack(1));
        told.extend(world.ask(1, b"junk"));
        told.extend(world.ask(1, &ack(60_000)));
        world.pass(Duration::ZERO);
    }
    assert!(world.engine.is_idle());
    assert!(world.now - world.start < SECOND * 33);
    told.extend(world.sent().into_iter().map(|packet| packet.bytes));
    check_error(&told[told.len() - 1..], ErrorCode::UNDEFINED);
    assert!(matches!(world.host.events.last(), Some(Event::Failed { .. })));
}

/// T21: a negotiated timeout is the interval of the retransmissions.
#[test]
fn negotiated_timeout() {
    let mut world = world();
    world.ask(LISTENER, b"\0\x01file\0octet\0timeout\x003\0");
    world.ask(1, &ack(0));
    for _ in 0..4 {
        world.pass(Duration::from_millis(2999));
        assert_eq!(world.sent(), []);
        world.pass(Duration::from_millis(1));
        assert_eq!(world.sent().len(), 1);
    }
}

/// T23: while windows get lost they are sent in smaller and smaller pieces.
#[test]
fn lost_windows_are_paced() {
    let mut world = windowed(100);
    for _ in 0..3 {
        let at = world.engine.poll_timeout().unwrap();
        world.pass(at - world.now);
        while world.sent().is_empty() {
            let at = world.engine.poll_timeout().unwrap();
            world.pass(at - world.now);
        }
        world.pass(Duration::from_millis(50));
        world.sent();
    }
    let at = world.engine.poll_timeout().unwrap();
    world.pass(at - world.now);
    assert_eq!(world.sent().len(), 1, "one block, then a pause");
}

/// T25: the last block is acknowledged, once or again, only when the file is in its place.
#[test]
fn last_ack_waits_for_the_disk() {
    let mut world = world();
    world.ask(LISTENER, WRQ);
    for _ in 0..3 {
        world.receive(peer(), 1, &data(1, b"whole"));
        world.pass(SECOND * 60);
        assert_eq!(world.sent(), []);
    }
    world.receive(peer(), 1, &error(ErrorCode::UNDEFINED));
    world.commit();
    assert_eq!(world.sent()[0].bytes, ack(1));
    assert!(matches!(world.host.events.last(), Some(Event::Finished { bytes: 5, .. })));
    world.ask(LISTENER, b"\0\x02fails\0octet\0");
    let port = *world.host.ports.iter().max().unwrap();
    check_error(&world.ask(port, &data(1, b"lost")), ErrorCode::DISK_FULL);
    assert!(matches!(world.host.events.last(), Some(Event::Failed { .. })));
}

/// A failed transfer's port swallows what its client has sent meanwhile, for a moment.
#[test]
fn failures_linger() {
    let mut world = world();
    world.ask(LISTENER, WRQ);
    world.ask(1, &data(1, &[1; 512]));
    check_error(&world.ask(1, &data(2, &[1; 513])), ErrorCode::ILLEGAL);
    assert!(world.ask(1, &data(2, &[1; 512])).is_empty());
    assert!(world.host.ports.contains(&1));
    world.pass(SECOND);
    assert!(world.engine.is_idle() && world.host.ports.is_empty());
}

/// Bounds: what is too much is refused, what runs goes on.
#[test]
fn bounds() {
    let mut world = limited(Limits { transfers: 2, per_peer: 3, ..Limits::default() });
    for port in 1..=2 {
        world.receive(SocketAddr::from((PEER.0, port)), LISTENER, RRQ);
        world.receive(SocketAddr::from((PEER.0, port)), port.into(), &ack(1));
    }
    world.sent();
    check_error(&world.ask(LISTENER, RRQ), ErrorCode::UNDEFINED);
    world.receive(SocketAddr::from((PEER.0, 1)), 1, &ack(2));
    assert_eq!(world.sent().len(), 1);
    let mut world = limited(Limits { per_peer: 3, ..Limits::default() });
    for port in 1..=3 {
        world.receive(SocketAddr::from((PEER.0, port)), LISTENER, RRQ);
    }
    world.sent();
    check_error(&world.ask(LISTENER, RRQ), ErrorCode::UNDEFINED);
    world.receive(stranger(), LISTENER, RRQ);
    assert_eq!(World::blocks(&[world.sent()[0].bytes.clone()]), [1]);
}

/// T6: a flood of requests that nobody means stops nobody's service.
#[test]
fn floods_of_half_open_requests() {
    let mut world = world();
    world.ask(LISTENER, RRQ);
    world.ask(1, &ack(1));
    for n in 0..20_000_u32 {
        let from = SocketAddr::from(((0x0a00_0000 + n).to_be_bytes(), 1000));
        world.receive(from, LISTENER, if n % 2 == 0 { RRQ } else { WRQ });
    }
    assert!(world.host.ports.len() <= Limits::default().half_open + 1);
    world.sent();
    assert_eq!(World::blocks(&world.ask(1, &ack(2))), [3]);
    world.receive(stranger(), LISTENER, RRQ);
    let answer = world.sent().pop().unwrap();
    assert_eq!(answer.to, stranger());
    world.receive(stranger(), answer.port, &ack(1));
    assert_eq!(World::blocks(&[world.sent().pop().unwrap().bytes]), [2]);
    world.pass(SECOND * 120);
    assert!(world.engine.is_idle() && world.host.ports.is_empty());
    assert!(world.host.commits.is_empty());
}

/// A full socket is no loss: the rest goes out a moment later.
#[test]
fn congestion() {
    let mut world = World::new(ServerConfig::default());
    world.files.put("file", &[3; 800]);
    world.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0windowsize\x008\0");
    world.host.congested_after = Some(3);
    assert_eq!(World::blocks(&world.ask(1, &ack(0))), [1, 2, 3]);
    world.pass(Duration::from_millis(2));
    let rest: Vec<_> = world.sent().into_iter().map(|packet| packet.bytes).collect();
    assert_eq!(World::blocks(&rest), [4, 5, 6, 7, 8]);
}

/// Draining: what is whole is finished, the rest is told, and nothing new begins.
#[test]
fn drains() {
    let mut world = world();
    world.receive(peer(), LISTENER, WRQ);
    world.receive(peer(), 1, &data(1, b"whole"));
    world.receive(stranger(), LISTENER, RRQ);
    world.sent();
    let now = world.now;
    world.engine.drain(now, &mut world.host);
    let told = world.sent();
    assert!(told.iter().all(|packet| packet.to == stranger()) && told.len() == 1);
    assert!(!world.engine.is_idle());
    world.commit();
    assert!(world.engine.is_idle());
    assert_eq!(world.files.get("up").unwrap(), b"whole");
    assert!(world.ask(LISTENER, RRQ).iter().all(|packet| packet.starts_with(&[0, 4])));
}
