//! A client that begins another transfer from the port of an earlier one: T5, T26.

use bbot_tftp::{Event, Failure, PortId, ServerConfig};

use crate::virtual_server::VirtualServer;
use crate::virtual_server::packets::{ack, data};
use crate::{LISTENER, SECOND, client, server, single_port};

/// The state of the transfer that the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// The server has sent its first packet, an OACK or not.
    HalfOpen,
    InProgress,
    /// All data of an upload has arrived, and the server commits it.
    Committing,
    Finished,
}

const ALL: [Left; 4] = [Left::HalfOpen, Left::InProgress, Left::Committing, Left::Finished];

fn servers() -> [VirtualServer; 2] {
    [server(), single_port()].map(|server| {
        server.store.put("file", &[7; 1300]);
        server.store.put("other", &[9; 600]);
        server
    })
}

/// The port that carries the newest transfer.
fn port(server: &VirtualServer) -> PortId {
    server.host.ports.iter().max().copied().unwrap_or(LISTENER)
}

fn request(opcode: u8, name: &str, options: &str) -> Vec<u8> {
    [&[0, opcode], name.as_bytes(), b"\0octet\0", options.as_bytes()].concat()
}

/// Begins a download of `file`, or an upload to `up`, and leaves it.
fn begin(server: &mut VirtualServer, opcode: u8, options: &str, left: Left) -> Vec<u8> {
    let request = request(opcode, if opcode == 1 { "file" } else { "up" }, options);
    server.ask(LISTENER, &request);
    let port = port(server);
    let packets = match (opcode, left) {
        (_, Left::HalfOpen) => vec![],
        (1, Left::InProgress) => vec![ack(0), ack(1)],
        (1, _) => vec![ack(0), ack(1), ack(2), ack(3)],
        (_, Left::InProgress) => vec![data(1, &[1; 512])],
        (_, _) => vec![data(1, &[1; 512]), data(2, b"end")],
    };
    for packet in packets {
        server.receive(client(), port, &packet);
    }
    if left == Left::Finished {
        server.commit();
    }
    server.sent();
    request
}

fn failures(server: &VirtualServer) -> Vec<Failure> {
    let failure = |event: &Event| match event {
        Event::Failed { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    server.host.events.iter().filter_map(failure).collect()
}

/// A transfer of the other file, from the request to its end.
fn check_other(server: &mut VirtualServer, opcode: u8, options: &str) {
    let first = server.ask(LISTENER, &request(opcode, "other", options));
    let port = port(server);
    let sizes = [("tsize\x00600\0", 1), ("tsize\x000\0", 2)];
    let oack = sizes.iter().find(|(_, of)| *of == opcode).map(|(size, _)| size.as_bytes());
    let oack = [b"\0\x06", oack.unwrap()].concat();
    match (opcode, options) {
        (1, "") => assert_eq!(first, [data(1, &[9; 512])]),
        (1, _) => {
            assert_eq!(first, [oack]);
            assert_eq!(server.ask(port, &ack(0)), [data(1, &[9; 512])]);
        }
        (_, "") => assert_eq!(first, [ack(0)]),
        (_, _) => assert_eq!(first, [oack]),
    }
    if opcode == 1 {
        assert_eq!(server.ask(port, &ack(1)), [data(2, &[9; 88])]);
        assert!(server.ask(port, &ack(2)).is_empty());
    } else {
        assert_eq!(server.ask(port, &data(1, b"new")), [ack(1)]);
        assert_eq!(server.store.get("other").unwrap(), b"new");
    }
}

/// T5: a request for another file ends the transfer before it in each of its states, in both
/// directions and modes, and is served. Nothing is left of an upload that was not complete.
#[test]
fn another_file_from_the_same_port() {
    for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        for (options, left) in ["", "tsize\x000\0"].iter().flat_map(|o| ALL.map(|l| (*o, l))) {
            for mut server in servers() {
                begin(&mut server, first, options, left);
                check_other(&mut server, second, options);
                let case = format!("{first} {second} {options:?} {left:?}");
                let expected = match left {
                    Left::InProgress => vec![Failure::Replaced],
                    _ => vec![],
                };
                assert_eq!(failures(&server), expected, "{case}");
                let is_stored = first == 2 && matches!(left, Left::Committing | Left::Finished);
                assert_eq!(server.store.get("up").is_some(), is_stored, "{case}");
                server.pass(SECOND * 60);
                assert!(server.engine.is_idle() && server.host.ports.is_empty(), "{case}");
            }
        }
    }
}

/// T5: a repeated request changes nothing while the transfer is in progress or being stored.
#[test]
fn a_repeated_request() {
    for (opcode, left) in [(1, Left::InProgress), (2, Left::InProgress), (2, Left::Committing)] {
        for mut server in servers() {
            let request = begin(&mut server, opcode, "tsize\x000\0", left);
            let old = port(&server);
            for _ in 0..3 {
                server.receive(client(), LISTENER, &request);
                assert_eq!(server.sent(), [], "{opcode} {left:?}");
            }
            assert_eq!(port(&server), old);
            if opcode == 1 {
                assert_eq!(server.ask(old, &ack(2)), [data(3, &[7; 276])]);
            } else {
                server.receive(client(), old, &data(2, b"end"));
                server.commit();
                assert_eq!(server.sent().pop().unwrap().bytes, ack(2));
            }
            assert!(failures(&server).is_empty());
        }
    }
}

/// T5: an upload whose data is complete is stored although its client has gone on, and is reported
/// as stored; the client is sent nothing more of it.
#[test]
fn a_complete_upload_is_stored() {
    for mut server in servers() {
        begin(&mut server, 2, "", Left::Committing);
        server.receive(client(), LISTENER, &request(1, "other", ""));
        assert_eq!(server.sent().pop().unwrap().bytes, data(1, &[9; 512]));
        server.commit();
        assert_eq!(server.sent(), []);
        assert_eq!(server.store.get("up").unwrap().len(), 515);
        let stored = |event: &Event| matches!(event, Event::Finished { bytes: 515, .. });
        assert!(server.host.events.iter().any(stored));
        // A failure to store it is reported as an event, but not to the client.
        server.receive(client(), LISTENER, &request(2, "fails", ""));
        let port = port(&server);
        server.receive(client(), port, &data(1, b"x"));
        server.receive(client(), LISTENER, &request(1, "file", ""));
        server.sent();
        server.commit();
        assert_eq!(server.sent(), []);
        assert!(matches!(failures(&server)[..], [Failure::Local { .. }]));
    }
}

/// T26: the request of a finished upload that arrives once more is answered by the last ACK, and
/// the file remains; a client that goes on to repeat it begins a new upload.
#[test]
fn a_late_double_of_a_finished_upload() {
    for mut server in servers() {
        let request = begin(&mut server, 2, "tsize\x000\0", Left::Finished);
        let old = port(&server);
        for _ in 0..4 {
            server.pass(SECOND);
            assert_eq!(server.ask(LISTENER, &request), [ack(2)]);
            assert_eq!((port(&server), server.store.get("up").unwrap().len()), (old, 515));
        }
        server.pass(SECOND * 5);
        assert_eq!(server.ask(LISTENER, &request), [b"\0\x06tsize\x000\0".to_vec()]);
        let new = port(&server);
        assert_eq!(server.ask(new, &data(1, b"again")), [ack(1)]);
        assert_eq!(server.store.get("up").unwrap(), b"again");
    }
}

/// T5: at the limit of transfers of its address, a client that leaves a transfer may begin another.
#[test]
fn the_transfer_that_is_left_does_not_count() {
    let limits = bbot_tftp::Limits::default().with_per_peer(1).with_transfers(1);
    let mut server = crate::with_file(ServerConfig::default().with_limits(limits));
    server.store.put("other", &[9; 600]);
    begin(&mut server, 2, "", Left::InProgress);
    check_other(&mut server, 1, "");
    check_other(&mut server, 2, "");
}
