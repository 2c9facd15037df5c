//! Hostile and unusual packets, one by one, against a whole server in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod virtual_server;

use std::net::SocketAddr;
use std::time::Duration;

use bbot_tftp::{BlockSize, ErrorCode, Event, Limits, PortId, Rollover, ServerConfig};
use virtual_server::packets::{ack, data, error};
use virtual_server::{SentPacket, VirtualServer, port_of};

const LISTENER: PortId = PortId::Listener;

const PEER: ([u8; 4], u16) = ([192, 0, 2, 7], 7777);
const SECOND: Duration = Duration::from_secs(1);

fn peer() -> SocketAddr {
    SocketAddr::from(PEER)
}

fn other_peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 9999))
}

fn server() -> VirtualServer {
    with_file(ServerConfig::default())
}

fn single_port() -> VirtualServer {
    with_file(ServerConfig::default().with_single_port(true))
}

fn limited(limits: Limits) -> VirtualServer {
    with_file(ServerConfig::default().with_limits(limits))
}

fn with_file(config: ServerConfig) -> VirtualServer {
    let server = VirtualServer::new(config);
    server.store.put("file", &[7; 1300]);
    server
}

const RRQ: &[u8] = b"\0\x01file\0octet\0";
const WRQ: &[u8] = b"\0\x02up\0octet\0";

impl VirtualServer {
    /// Handles a packet of the client [`peer`]; returns the answers.
    fn ask(&mut self, port: PortId, bytes: &[u8]) -> Vec<Vec<u8>> {
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

/// T1: each transfer has a new port; in single-port mode, all use the listener's.
#[test]
fn ports_of_answers() {
    let mut server = server();
    server.receive(peer(), LISTENER, RRQ);
    server.receive(other_peer(), LISTENER, RRQ);
    let ports: Vec<_> = server.sent().iter().map(|p| (p.port, p.to)).collect();
    assert_eq!(ports, [(port_of(1), peer()), (port_of(2), other_peer())]);
    let mut server = single_port();
    server.receive(peer(), LISTENER, RRQ);
    server.receive(peer(), LISTENER, &ack(1));
    let packets = server.sent();
    assert!(packets.iter().all(|p| p.port == LISTENER && p.to == peer()));
    assert_eq!(packets.len(), 2);
}

/// T2: an unknown sender gets ERROR 5, at a limited rate, and the transfer is not affected.
#[test]
fn unknown_senders() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    let deadline = server.engine.poll_timeout();
    for _ in 0..1000 {
        server.receive(other_peer(), port_of(1), &ack(1));
    }
    let answers = server.sent();
    let most = usize::try_from(Limits::default().errors_per_second).unwrap();
    assert_eq!(answers.len(), most);
    for SentPacket { port, to, bytes } in answers {
        assert_eq!((port, to), (port_of(1), other_peer()));
        check_error(&[bytes], ErrorCode::UNKNOWN_TID);
    }
    assert_eq!(server.engine.poll_timeout(), deadline);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(1))), [2]);
}

/// T2: an ERROR is never answered, whatever its source and its destination.
#[test]
fn errors_are_not_answered() {
    for mut server in [server(), single_port()] {
        server.receive(peer(), LISTENER, &error(ErrorCode::UNDEFINED));
        server.receive(peer(), LISTENER, RRQ);
        assert_eq!(server.sent().len(), 1);
        server.receive(other_peer(), port_of(1), &error(ErrorCode::UNDEFINED));
        server.receive(other_peer(), LISTENER, &error(ErrorCode::UNKNOWN_TID));
        let port = if server.host.ports.is_empty() { LISTENER } else { port_of(1) };
        server.receive(peer(), port, &error(ErrorCode::UNDEFINED));
        assert_eq!(server.sent(), []);
        assert!(server.engine.is_idle(), "the transfer's own ERROR ends it");
    }
}

/// T2: DATA, ACK and OACK without a transfer get ERROR 5, also in single-port mode.
#[test]
fn packets_without_a_transfer() {
    for mut server in [server(), single_port()] {
        for packet in [&ack(3)[..], &data(1, b"x"), b"\0\x06blksize\x008\0"] {
            check_error(&server.ask(LISTENER, packet), ErrorCode::UNKNOWN_TID);
        }
    }
}

/// T4: a datagram that is not a packet is ignored; a malformed request gets an ERROR at once.
#[test]
fn malformed_requests() {
    let mut server = server();
    for junk in
        [&b""[..], b"\0", b"\x01", b"\0\x07", b"\0\0", b"\xff\xff\xff", b"\0\x03", &[0; 600]]
    {
        assert_eq!(server.ask(LISTENER, junk), [[]; 0] as [[u8; 0]; 0], "{junk:?}");
    }
    for broken in [
        &b"\0\x01"[..],
        b"\0\x01file",
        b"\0\x01file\0octet",
        b"\0\x02\0octet\0",
        b"\0\x01file\0octet\0blksize\0",
        b"\0\x01file\0octet\0blksize\x008",
    ] {
        check_error(&server.ask(LISTENER, broken), ErrorCode::ILLEGAL);
    }
    for mode in ["netascii", "NETASCII", "mail", "octet8", ""] {
        let request = format!("\0\x01file\0{mode}\0");
        check_error(&server.ask(LISTENER, request.as_bytes()), ErrorCode::ILLEGAL);
    }
    let long = [b"\0\x01file\0octet\0x\0".to_vec(), vec![b'y'; 2100], vec![0]].concat();
    assert!(server.ask(LISTENER, &long).is_empty());
    assert!(server.engine.is_idle());
    assert_eq!(VirtualServer::blocks(&server.ask(LISTENER, b"\0\x01/file\0OCTET\0\0\0")), [1]);
}

/// T5: a repeated request repeats the first packet; after the client's first answer it is ignored;
/// after the end of the transfer it begins a new one.
#[test]
fn repeated_requests() {
    let mut server = server();
    let first = server.ask(LISTENER, RRQ);
    assert_eq!(server.ask(LISTENER, RRQ), first);
    assert_eq!(server.host.ports.len(), 1);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(1))), [2]);
    assert!(server.ask(LISTENER, RRQ).is_empty());
    server.ask(port_of(1), &ack(2));
    server.ask(port_of(1), &ack(3));
    assert_eq!(VirtualServer::blocks(&server.ask(LISTENER, RRQ)), [1]);
    assert_eq!(server.host.ports.len(), 1);
    // A request for another file from the same port replaces the first one.
    check_error(&server.ask(LISTENER, b"\0\x01other\0octet\0"), ErrorCode::NOT_FOUND);
    assert!(server.engine.is_idle());
}

/// T5, T24: the last block of a finished upload is acknowledged again, until a new request comes
/// from the same port.
#[test]
fn dallying_transfers() {
    for mut server in [server(), single_port()] {
        let port = |server: &VirtualServer| *server.host.ports.iter().max().unwrap_or(&LISTENER);
        assert_eq!(server.ask(LISTENER, WRQ), [ack(0)]);
        let first = port(&server);
        assert_eq!(server.ask(first, &data(1, b"one")), [ack(1)]);
        for _ in 0..3 {
            server.pass(SECOND);
            assert_eq!(server.ask(first, &data(1, b"one")), [ack(1)]);
        }
        assert!(server.ask(first, &data(9, b"what?")).is_empty());
        assert_eq!(server.ask(LISTENER, WRQ), [ack(0)]);
        let second = port(&server);
        assert_eq!(server.ask(second, &data(1, b"two")), [ack(1)]);
        assert_eq!(server.store.get("up").unwrap(), b"two");
        server.pass(SECOND * 31);
        assert!(server.engine.is_idle() && server.host.ports.is_empty());
    }
}

/// T6: a closed port ends the transfer of that client at once, and no other.
#[test]
fn closed_ports() {
    for mut server in [server(), single_port()] {
        server.receive(peer(), LISTENER, RRQ);
        server.receive(other_peer(), LISTENER, RRQ);
        let (now, first) =
            (server.now, if server.host.ports.is_empty() { LISTENER } else { port_of(1) });
        server.engine.handle_unreachable(first, peer(), now, &mut server.host);
        server.engine.handle_unreachable(first, peer(), now, &mut server.host);
        server.sent();
        server.pass(SECOND);
        let left = server.sent();
        assert!(!left.is_empty() && left.iter().all(|packet| packet.to == other_peer()));
    }
}

/// T7, T8: the bytes of an OACK; it awaits ACK 0 and is sent again like any packet.
#[test]
fn option_acks() {
    let mut server = server();
    let request = b"\0\x01file\0octet\0TSIZE\x000\0BlkSize\x001000\0multicast\0\0blksize\x008\0";
    let oack = b"\0\x06blksize\x001000\0tsize\x001300\0".to_vec();
    assert_eq!(server.ask(LISTENER, request), std::slice::from_ref(&oack));
    assert!(server.ask(port_of(1), &ack(1)).is_empty(), "no block was sent before");
    server.pass(SECOND);
    assert_eq!(server.sent()[0].bytes, oack);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(0))), [1]);
    // Without a known option there is no OACK.
    let mut server = self::server();
    assert_eq!(VirtualServer::blocks(&server.ask(LISTENER, b"\0\x01file\0octet\0foo\x001\0")), [1]);
}

/// T8: a client that only requests the size ends the transfer without an answer.
#[test]
fn size_probes() {
    let mut server = server();
    server.ask(LISTENER, b"\0\x01file\0octet\0tsize\x000\0");
    assert!(server.ask(port_of(1), &error(ErrorCode::OPTION)).is_empty());
    assert!(server.engine.is_idle());
    assert!(matches!(server.host.events[..], [Event::FirstRequest { .. }]));
}

/// T9, T10: an option whose value is not a number, or out of range, is left out.
#[test]
fn invalid_values() {
    for value in ["-1", "0", "7", "512x", "abc", "", "99999999999999999999999", "0x200", "1e3"] {
        let mut server = server();
        let request =
            format!("\0\x01file\0octet\0blksize\0{value}\0windowsize\0-1\0timeout\x00999\0");
        assert_eq!(
            VirtualServer::blocks(&server.ask(LISTENER, request.as_bytes())),
            [1],
            "{value}"
        );
    }
}

/// T10: the declared size of an upload is a reason to refuse it, and has no other effect.
#[test]
fn wrong_declared_sizes() {
    let mut server = server();
    let request = format!("\0\x02up\0octet\0tsize\0{}\0", 1_u64 << 62);
    check_error(&server.ask(LISTENER, request.as_bytes()), ErrorCode::DISK_FULL);
    server.ask(LISTENER, b"\0\x02up\0octet\0tsize\x001000\0");
    let port = *server.host.ports.iter().next().unwrap();
    assert_eq!(server.ask(port, &data(1, b"four")), [ack(1)]);
    assert_eq!(server.store.get("up").unwrap(), b"four");
}

/// T11, T12: a window fits the receive buffer; the configured block size is not exceeded.
#[test]
fn windows_fit_the_buffer() {
    let block_size = BlockSize::new(1428).unwrap();
    let mut server = VirtualServer::new(ServerConfig::default().with_max_block_size(block_size));
    server.host.receive_buffer = 212_992;
    let answer = server.ask(LISTENER, b"\0\x02up\0octet\0blksize\x0065464\0windowsize\x00500\0");
    assert_eq!(answer, [b"\0\x06blksize\x001428\0windowsize\x0092\0".to_vec()]);
    let mut server = VirtualServer::new(ServerConfig::default());
    server.host.receive_buffer = 212_992;
    let answer = server.ask(LISTENER, b"\0\x02up\0octet\0blksize\x0065464\0windowsize\x0016\0");
    assert_eq!(answer, [b"\0\x06blksize\x0065464\0windowsize\x001\0".to_vec()]);
}

/// T11: in single-port mode, the uploads share one receive buffer, and release their parts.
#[test]
fn uploads_share_the_buffer() {
    let mut server = single_port();
    let request = b"\0\x02up\0octet\0blksize\x0065464\0windowsize\x0064\0";
    let granted = |answer: &[Vec<u8>]| String::from_utf8_lossy(&answer[0]).into_owned();
    let all = granted(&server.ask(LISTENER, request));
    assert!(all.contains("windowsize\x007\0"), "{all:?}");
    server.receive(other_peer(), LISTENER, request);
    assert!(server.sent()[0].bytes.ends_with(b"windowsize\x001\0"));
    server.receive(other_peer(), LISTENER, &error(ErrorCode::UNDEFINED));
    server.ask(LISTENER, &error(ErrorCode::UNDEFINED));
    assert_eq!(granted(&server.ask(LISTENER, request)), all);
}

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
        server.receive(peer(), port_of(1), &ack(block));
    }
    server.sent();
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(65_535))), [1]);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(1))), [2]);
}

/// T15, T20: in lockstep, a duplicate ACK causes no DATA; a duplicate DATA is acknowledged again
/// and written once.
#[test]
fn sorcerers_apprentice() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(1))), [2]);
    for _ in 0..5 {
        assert!(server.ask(port_of(1), &ack(1)).is_empty());
        assert!(server.ask(port_of(1), &ack(0)).is_empty());
    }
    let mut server = self::server();
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
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(1))), [2]);
}

fn windowed(blocks: usize) -> VirtualServer {
    let mut server = VirtualServer::new(ServerConfig::default());
    server.store.put("file", &vec![3; 8 * blocks]);
    server.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0windowsize\x004\0");
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(0))), [1, 2, 3, 4]);
    server
}

/// T17: the next window begins after the last ACK, at once if that lies inside the window.
#[test]
fn windows_are_sent() {
    let mut server = windowed(100);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(4))), [5, 6, 7, 8]);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(6))), [7, 8, 9, 10]);
    assert!(server.ask(port_of(1), &ack(5)).is_empty(), "before the base");
    server.pass(SECOND * 5);
    let again: Vec<_> = server.sent().into_iter().map(|packet| packet.bytes).collect();
    assert_eq!(VirtualServer::blocks(&again)[..2], [7, 8]);
}

/// T19: an ACK of the base restarts the window, once; T22: and does not reset the timer.
#[test]
fn the_first_block_of_a_window_is_lost() {
    let mut server = windowed(100);
    server.ask(port_of(1), &ack(4));
    let deadline = server.engine.poll_timeout();
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(4))), [5, 6, 7, 8]);
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
        answers.extend(server.ask(port_of(1), b"junk"));
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
        server.receive(peer(), port_of(1), &data(1, b"whole"));
        server.pass(SECOND * 60);
        assert_eq!(server.sent(), []);
    }
    server.receive(peer(), port_of(1), &error(ErrorCode::UNDEFINED));
    server.commit();
    assert_eq!(server.sent()[0].bytes, ack(1));
    assert!(matches!(server.host.events.last(), Some(Event::Finished { bytes: 5, .. })));
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

/// T6: at a limit, new requests are refused, and transfers in progress go on.
#[test]
fn limits() {
    let mut server = limited(Limits::default().with_transfers(2).with_per_peer(3));
    for port in 1..=2 {
        server.receive(SocketAddr::from((PEER.0, port)), LISTENER, RRQ);
        server.receive(SocketAddr::from((PEER.0, port)), port_of(port.into()), &ack(1));
    }
    server.sent();
    check_error(&server.ask(LISTENER, RRQ), ErrorCode::UNDEFINED);
    server.receive(SocketAddr::from((PEER.0, 1)), port_of(1), &ack(2));
    assert_eq!(server.sent().len(), 1);
    let mut server = limited(Limits::default().with_per_peer(3));
    for port in 1..=3 {
        server.receive(SocketAddr::from((PEER.0, port)), LISTENER, RRQ);
    }
    server.sent();
    check_error(&server.ask(LISTENER, RRQ), ErrorCode::UNDEFINED);
    server.receive(other_peer(), LISTENER, RRQ);
    assert_eq!(VirtualServer::blocks(&[server.sent()[0].bytes.clone()]), [1]);
}

/// T6: a flood of forged requests does not affect other clients.
#[test]
fn floods_of_half_open_requests() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    server.ask(port_of(1), &ack(1));
    for n in 0..20_000_u32 {
        let from = SocketAddr::from(((0x0a00_0000 + n).to_be_bytes(), 1000));
        server.receive(from, LISTENER, if n % 2 == 0 { RRQ } else { WRQ });
    }
    assert!(server.host.ports.len() <= Limits::default().half_open + 1);
    server.sent();
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(2))), [3]);
    server.receive(other_peer(), LISTENER, RRQ);
    let answer = server.sent().pop().unwrap();
    assert_eq!(answer.to, other_peer());
    server.receive(other_peer(), answer.port, &ack(1));
    assert_eq!(VirtualServer::blocks(&[server.sent().pop().unwrap().bytes]), [2]);
    server.pass(SECOND * 120);
    assert!(server.engine.is_idle() && server.host.ports.is_empty());
    assert!(server.host.commits.is_empty());
}

/// A full send buffer is not a loss: the rest is sent a moment later.
#[test]
fn congestion() {
    let mut server = VirtualServer::new(ServerConfig::default());
    server.store.put("file", &[3; 800]);
    server.ask(LISTENER, b"\0\x01file\0octet\0blksize\x008\0windowsize\x008\0");
    server.host.congested_after = Some(3);
    assert_eq!(VirtualServer::blocks(&server.ask(port_of(1), &ack(0))), [1, 2, 3]);
    server.pass(Duration::from_millis(2));
    let rest: Vec<_> = server.sent().into_iter().map(|packet| packet.bytes).collect();
    assert_eq!(VirtualServer::blocks(&rest), [4, 5, 6, 7, 8]);
}

/// A drain finishes complete uploads, ends other transfers with an ERROR, and begins none.
#[test]
fn drains() {
    let mut server = server();
    server.receive(peer(), LISTENER, WRQ);
    server.receive(peer(), port_of(1), &data(1, b"whole"));
    server.receive(other_peer(), LISTENER, RRQ);
    server.sent();
    let now = server.now;
    server.engine.drain(now, &mut server.host);
    let errors = server.sent();
    assert!(errors.iter().all(|packet| packet.to == other_peer()) && errors.len() == 1);
    assert!(!server.engine.is_idle());
    server.commit();
    assert!(server.engine.is_idle());
    assert_eq!(server.store.get("up").unwrap(), b"whole");
    assert!(server.ask(LISTENER, RRQ).iter().all(|packet| packet.starts_with(&[0, 4])));
}
