//! Requests, options and limits: T1 to T12.

use std::net::SocketAddr;

use bbot_tftp::{BlockSize, ErrorCode, Event, Limits, ServerConfig};

use crate::virtual_server::packets::{ack, data, error};
use crate::virtual_server::{SentPacket, VirtualServer, port_of};
use crate::{
    CLIENT, LISTENER, RRQ, SECOND, WRQ, blocks, check_error, client, other_client, server,
    single_port, with_file,
};

fn limited(limits: Limits) -> VirtualServer {
    with_file(ServerConfig::default().with_limits(limits))
}

/// T1: each transfer has a new port; in single-port mode, all use the listener's.
#[test]
fn ports_of_answers() {
    let mut server = server();
    server.receive(client(), LISTENER, RRQ);
    server.receive(other_client(), LISTENER, RRQ);
    let ports: Vec<_> = server.sent().iter().map(|p| (p.port, p.to)).collect();
    assert_eq!(ports, [(port_of(1), client()), (port_of(2), other_client())]);
    let mut server = single_port();
    server.receive(client(), LISTENER, RRQ);
    server.receive(client(), LISTENER, &ack(1));
    let packets = server.sent();
    assert!(packets.iter().all(|p| p.port == LISTENER && p.to == client()));
    assert_eq!(packets.len(), 2);
}

/// T2, T32: an unknown sender gets ERROR 5, at a limited rate, and the transfer is not affected.
#[test]
fn unknown_senders() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    let deadline = server.engine.poll_timeout();
    for _ in 0..5000 {
        server.receive(other_client(), port_of(1), &ack(1));
    }
    let answers = server.sent();
    let most = usize::try_from(Limits::default().errors_per_second).unwrap();
    assert_eq!(answers.len(), most);
    for SentPacket { port, to, bytes } in answers {
        assert_eq!((port, to), (port_of(1), other_client()));
        check_error(&[bytes], ErrorCode::UNKNOWN_TID);
    }
    assert_eq!(server.engine.poll_timeout(), deadline);
    assert_eq!(blocks(&server.ask(port_of(1), &ack(1))), [2]);
}

/// T2: an ERROR is never answered, whatever its source and its destination.
#[test]
fn errors_are_not_answered() {
    for mut server in [server(), single_port()] {
        server.receive(client(), LISTENER, &error(ErrorCode::UNDEFINED));
        server.receive(client(), LISTENER, RRQ);
        assert_eq!(server.sent().len(), 1);
        server.receive(other_client(), port_of(1), &error(ErrorCode::UNDEFINED));
        server.receive(other_client(), LISTENER, &error(ErrorCode::UNKNOWN_TID));
        let port = if server.host.ports.is_empty() { LISTENER } else { port_of(1) };
        server.receive(client(), port, &error(ErrorCode::UNDEFINED));
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
    for broken in [&b"\0\x01"[..], b"\0\x01file", b"\0\x01file\0octet", b"\0\x02\0octet\0"] {
        check_error(&server.ask(LISTENER, broken), ErrorCode::ILLEGAL);
    }
    for mode in ["netascii", "NETASCII", "mail", "octet8", ""] {
        let request = format!("\0\x01file\0{mode}\0");
        check_error(&server.ask(LISTENER, request.as_bytes()), ErrorCode::ILLEGAL);
    }
    let long = [b"\0\x01file\0octet\0x\0".to_vec(), vec![b'y'; 2100], vec![0]].concat();
    assert!(server.ask(LISTENER, &long).is_empty());
    assert!(server.engine.is_idle());
    // An option without a value is left out, and those before it are granted.
    for last in ["blksize", "blksize\0", "blksize\x008"] {
        let request = format!("\0\x01file\0octet\0tsize\x000\0{last}");
        assert_eq!(server.ask(LISTENER, request.as_bytes()), [b"\0\x06tsize\x001300\0".to_vec()]);
        let request = format!("\0\x01file\0octet\0{last}");
        assert_eq!(blocks(&server.ask(LISTENER, request.as_bytes())), [1], "{last:?}");
    }
    server.ask(port_of(7), &error(ErrorCode::UNDEFINED));
    assert_eq!(blocks(&server.ask(LISTENER, b"\0\x01/file\0OCTET\0\0\0")), [1]);
}

/// T5: a repeated request repeats the first packet; after the client's first answer it is ignored;
/// after the end of a download it begins a new one.
#[test]
fn repeated_requests() {
    let mut server = server();
    let first = server.ask(LISTENER, RRQ);
    assert_eq!(server.ask(LISTENER, RRQ), first);
    assert_eq!(server.host.ports.len(), 1);
    assert_eq!(blocks(&server.ask(port_of(1), &ack(1))), [2]);
    assert!(server.ask(LISTENER, RRQ).is_empty());
    server.ask(port_of(1), &ack(2));
    server.ask(port_of(1), &ack(3));
    assert_eq!(blocks(&server.ask(LISTENER, RRQ)), [1]);
    assert_eq!(server.host.ports.len(), 1);
    // A request for another file from the same port replaces the first one.
    check_error(&server.ask(LISTENER, b"\0\x01other\0octet\0"), ErrorCode::NOT_FOUND);
    assert!(server.engine.is_idle());
}

/// T5, T24: the last block of a finished upload is acknowledged again, until another request is
/// received from the same port.
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
        assert_eq!(server.ask(LISTENER, b"\0\x02other\0octet\0"), [ack(0)]);
        let second = port(&server);
        assert_eq!(server.ask(second, &data(1, b"two")), [ack(1)]);
        assert_eq!(server.store.get("up").unwrap(), b"one");
        assert_eq!(server.store.get("other").unwrap(), b"two");
        server.pass(SECOND * 31);
        assert!(server.engine.is_idle() && server.host.ports.is_empty());
    }
}

/// T6: a closed port ends the transfer of that client at once, and no other.
#[test]
fn closed_ports() {
    for mut server in [server(), single_port()] {
        server.receive(client(), LISTENER, RRQ);
        server.receive(other_client(), LISTENER, RRQ);
        let (now, first) =
            (server.now, if server.host.ports.is_empty() { LISTENER } else { port_of(1) });
        server.engine.handle_unreachable(first, client(), now, &mut server.host);
        server.engine.handle_unreachable(first, client(), now, &mut server.host);
        server.sent();
        server.pass(SECOND);
        let left = server.sent();
        assert!(!left.is_empty() && left.iter().all(|packet| packet.to == other_client()));
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
    assert_eq!(blocks(&server.ask(port_of(1), &ack(0))), [1]);
    // Without a known option there is no OACK.
    let mut server = crate::server();
    assert_eq!(blocks(&server.ask(LISTENER, b"\0\x01file\0octet\0foo\x001\0")), [1]);
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
        assert_eq!(blocks(&server.ask(LISTENER, request.as_bytes())), [1], "{value}");
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
    server.receive(other_client(), LISTENER, request);
    assert!(server.sent()[0].bytes.ends_with(b"windowsize\x001\0"));
    server.receive(other_client(), LISTENER, &error(ErrorCode::UNDEFINED));
    server.ask(LISTENER, &error(ErrorCode::UNDEFINED));
    assert_eq!(granted(&server.ask(LISTENER, request)), all);
}

/// T6: at a limit, new requests are refused, and transfers in progress go on.
#[test]
fn limits() {
    let mut server = limited(Limits::default().with_transfers(2).with_per_peer(3));
    for port in 1..=2 {
        server.receive(SocketAddr::from((CLIENT.0, port)), LISTENER, RRQ);
        server.receive(SocketAddr::from((CLIENT.0, port)), port_of(port.into()), &ack(1));
    }
    server.sent();
    check_error(&server.ask(LISTENER, RRQ), ErrorCode::UNDEFINED);
    server.receive(SocketAddr::from((CLIENT.0, 1)), port_of(1), &ack(2));
    assert_eq!(server.sent().len(), 1);
    let mut server = limited(Limits::default().with_per_peer(3));
    for port in 1..=3 {
        server.receive(SocketAddr::from((CLIENT.0, port)), LISTENER, RRQ);
    }
    server.sent();
    check_error(&server.ask(LISTENER, RRQ), ErrorCode::UNDEFINED);
    server.receive(other_client(), LISTENER, RRQ);
    assert_eq!(blocks(&[server.sent()[0].bytes.clone()]), [1]);
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
    assert_eq!(blocks(&server.ask(port_of(1), &ack(2))), [3]);
    server.receive(other_client(), LISTENER, RRQ);
    let answer = server.sent().pop().unwrap();
    assert_eq!(answer.to, other_client());
    server.receive(other_client(), answer.port, &ack(1));
    assert_eq!(blocks(&[server.sent().pop().unwrap().bytes]), [2]);
    server.pass(SECOND * 120);
    assert!(server.engine.is_idle() && server.host.ports.is_empty());
    assert!(server.host.commits.is_empty());
}

/// T32: 60 clients that ask for 20 missing files each have all their answers at once, also beside a
/// flood of another address, whose own answers are limited.
#[test]
fn missing_files_and_a_flood() {
    let missing = |name: u32| format!("\0\x01missing-{name}\0octet\0").into_bytes();
    let flooder = |port| SocketAddr::from(([192, 0, 2, 200], port));
    let mut server = server();
    for name in 0..20 {
        for machine in 1..=60 {
            for port in 1..=30 {
                server.receive(flooder(port), LISTENER, &missing(name));
            }
            server.sent();
            let client = SocketAddr::from(([192, 0, 2, machine], 2000));
            server.receive(client, LISTENER, &missing(name));
            let answers = server.sent();
            assert!(matches!(&answers[..], [answer] if answer.to == client), "{name} {machine}");
        }
    }
    let most = usize::try_from(Limits::default().errors_per_second).unwrap();
    server.pass(SECOND);
    (1..=20_000).for_each(|port| server.receive(flooder(port), LISTENER, &missing(0)));
    assert_eq!(server.sent().len(), most);
}

/// T6, T24: uploads that have finished do not count as transfers of their client, and in
/// single-port mode have released their parts of the receive buffer.
#[test]
fn many_small_uploads() {
    for mut server in [server(), single_port()] {
        let request = b"\0\x02up\0octet\0blksize\x00512\0windowsize\x004\0";
        let mut granted = None;
        for number in 1..=1000 {
            let client = SocketAddr::from((CLIENT.0, 1000 + number));
            server.receive(client, LISTENER, request);
            let answer = server.sent().pop().unwrap();
            let first = granted.get_or_insert_with(|| answer.bytes.clone());
            assert_eq!(*first, answer.bytes, "{number}");
            server.receive(client, answer.port, &data(1, b"content"));
            server.commit();
            assert_eq!(server.sent().pop().unwrap().bytes, ack(1), "{number}");
        }
        assert!(granted.unwrap().ends_with(b"windowsize\x004\0"));
        server.pass(SECOND * 40);
        assert!(server.engine.is_idle());
    }
}

/// T31: a backslash separates folders if so configured; no name leads out of its folder that way.
#[test]
fn backslashes() {
    let request = |name: &str| format!("\0\x01{name}\0octet\0").into_bytes();
    for single_port in [false, true] {
        let config = ServerConfig::default().with_single_port(single_port);
        let mut server = with_file(config);
        check_error(&server.ask(LISTENER, &request("\\file")), ErrorCode::ACCESS);
        let mut server = with_file(config.with_backslashes(true));
        server.store.put("boot/x64/loader", b"loader");
        for name in ["\\file", "file", "\\\\file", ".\\file"] {
            assert_eq!(blocks(&server.ask(LISTENER, &request(name))), [1], "{name}");
        }
        let loader = request("\\boot\\x64/loader");
        assert_eq!(server.ask(LISTENER, &loader), [data(1, b"loader")]);
        for name in ["..\\file", "boot\\..\\file", "\\", "\\.bbot-tftp-1"] {
            check_error(&server.ask(LISTENER, &request(name)), ErrorCode::ACCESS);
        }
        assert_eq!(server.ask(LISTENER, b"\0\x02a\\b\0octet\0"), [ack(0)]);
        let port = server.host.ports.iter().max().copied().unwrap_or(LISTENER);
        server.ask(port, &data(1, b"stored"));
        assert_eq!(server.store.get("a/b").unwrap(), b"stored");
    }
}

/// T35: a store knows which client asks.
#[test]
fn the_store_gets_the_address() {
    let mut server = server();
    server.ask(LISTENER, RRQ);
    server.receive(other_client(), LISTENER, WRQ);
    assert_eq!(server.store.requests(), [client(), other_client()]);
}
