//! Against a server that sends what QEMU would, and what it never should.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use qapi::qmp;
use serde_json::Value;

use super::incoming::INCOMING_MAX;
use super::line::LINE_MAX;
use super::*;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}"#;
const LONG: Duration = Duration::from_secs(30);

/// The client of a connection whose reader runs in a thread, as a guest's does.
struct Connection {
    client: Client,
    reader: JoinHandle<Vec<Event>>,
}

impl Connection {
    fn to(server: impl FnOnce(Server) + Send + 'static) -> (Connection, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || server(Server::new(theirs)));
        let (client, mut reader) = pair(ours).unwrap();
        let reader = thread::spawn(move || {
            let mut events = Vec::new();
            while {
                let mut polled = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
                poll(&mut polled, PollTimeout::NONE).unwrap();
                reader.receive(&mut |event| events.push(event)) == Received::Open
            } {}
            events
        });
        (Connection { client, reader }, server)
    }

    /// Ends the connection. Returns the events that came.
    fn events(self) -> Vec<Event> {
        self.client.writer.shutdown(std::net::Shutdown::Both).ok();
        self.reader.join().unwrap()
    }
}

struct Server {
    reader: BufReader<UnixStream>,
}

impl Server {
    fn new(stream: UnixStream) -> Server {
        Server { reader: BufReader::new(stream) }
    }

    fn send(&mut self, text: &str) {
        // The client may have closed the connection.
        self.reader.get_mut().write_all(text.as_bytes()).ok();
    }

    /// Reads a command. Returns its name and id.
    fn receive(&mut self) -> Option<(String, u64)> {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let command: Value = serde_json::from_str(&line).ok()?;
        Some((command["execute"].as_str()?.to_owned(), command["id"].as_u64()?))
    }

    fn greet(&mut self) {
        self.send(&format!("{GREETING}\r\n"));
        let (name, id) = self.receive().unwrap();
        assert_eq!(name, "qmp_capabilities");
        self.send(&format!("{{\"return\": {{}}, \"id\": {id}}}\r\n"));
    }
}

#[test]
fn events_come_between_a_command_and_its_answer_and_none_ends_the_connection() {
    let (mut connection, server) = Connection::to(|mut server| {
        server.send("{\"event\": \"BEFORE_GREETING\"}\r\n");
        server.greet();
        let (name, id) = server.receive().unwrap();
        assert_eq!(name, "stop");
        server.send("{\"timestamp\": {\"seconds\": 1}, \"event\": \"STOP\"}\r\n");
        server.send(
            "{\"event\": \"NEWER_THAN_US\", \"data\": {\"reason\": \"new\", \"x\": [1]}}\r\n",
        );
        server.send("{\"event\": 7, \"data\": 8}\r\n");
        server.send("{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"new-reason\"}}\r\n");
        server.send(&format!("{{\"return\": {{}}, \"id\": {id}, \"new\": 1}}\r\n{{\"event\""));
        let (name, id) = server.receive().unwrap();
        assert_eq!(name, "cont");
        server.send(&format!(": \"RESUME\"}}\n{{\"return\": {{}}, \"id\": {id}}}\n"));
    });
    connection.client.handshake(LONG).unwrap();
    connection.client.execute(qmp::stop {}, LONG).unwrap();
    connection.client.execute(qmp::cont {}, LONG).unwrap();
    server.join().unwrap();
    let events = connection.events();
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["BEFORE_GREETING", "STOP", "NEWER_THAN_US", "7", "SHUTDOWN", "RESUME"]);
    assert_eq!(events[2].data["x"][0], 1);
    assert_eq!(events[4].data["reason"], "new-reason");
}

#[test]
fn refusals_are_errors_of_the_command_only() {
    let (mut connection, server) = Connection::to(|mut server| {
        server.greet();
        let (_, id) = server.receive().unwrap();
        let refusal = r#"{"error": {"class": "NewClass", "desc": "not now"}"#;
        server.send(&format!("{refusal}, \"id\": {id}}}\n"));
        server.receive();
        server.send(&format!("{refusal}}}\n"));
        let (_, id) = server.receive().unwrap();
        server.send(&format!("{{\"return\": {{}}, \"id\": {id}}}\n"));
    });
    connection.client.handshake(LONG).unwrap();
    for _ in 0..2 {
        let error = connection.client.execute(qmp::system_powerdown {}, LONG).unwrap_err();
        assert_eq!(error.to_string(), "not now (NewClass)");
    }
    connection.client.execute(qmp::quit {}, LONG).unwrap();
    server.join().unwrap();
    connection.events();
}

#[test]
fn answers_are_matched_by_id() {
    let (mut connection, server) = Connection::to(|mut server| {
        server.greet();
        let (_, late) = server.receive().unwrap();
        let (_, id) = server.receive().unwrap();
        assert_ne!(late, id);
        server.send("{\"return\": {\"of\": \"none\"}}\n");
        server.send(&format!("{{\"return\": {{\"of\": \"late\"}}, \"id\": {late}}}\n"));
        server.send(&format!("{{\"error\": {{}}, \"id\": {late}}}\n"));
        server.send(&format!("{{\"return\": {{\"of\": \"this\"}}, \"id\": {id}}}\n"));
    });
    connection.client.handshake(LONG).unwrap();
    let limit = Duration::from_millis(10);
    let error = connection.client.execute(qmp::stop {}, limit).unwrap_err();
    assert!(matches!(error, QmpError::Timeout { limit: waited } if waited == limit), "{error:?}");
    let answer = connection.client.execute_untyped(qmp::query_status {}, LONG).unwrap();
    assert_eq!(answer["of"], "this");
    server.join().unwrap();
    connection.events();
}

#[test]
fn an_answer_of_another_type_is_an_error_or_untyped() {
    let status = r#"{"running": true, "status": "newer-than-us"}"#;
    let (mut connection, server) = Connection::to(move |mut server| {
        server.greet();
        for _ in 0..2 {
            let (_, id) = server.receive().unwrap();
            server.send(&format!("{{\"return\": {status}, \"id\": {id}}}\n"));
        }
    });
    connection.client.handshake(LONG).unwrap();
    let error = connection.client.execute(qmp::query_status {}, LONG).unwrap_err();
    assert!(matches!(error, QmpError::Malformed { .. }), "{error:?}");
    connection.client.execute_untyped(qmp::query_status {}, LONG).unwrap();
    server.join().unwrap();
    connection.events();
}

/// Cut after any byte, the conversation ends with an error, in time, and never with a panic.
#[test]
fn end_of_the_connection_at_each_point() {
    let script = format!(
        "{GREETING}\r\n{}\r\n{}\r\n{}\r\n",
        r#"{"return": {}, "id": 1}"#, r#"{"event": "STOP"}"#, r#"{"return": {}, "id": 2}"#
    );
    for length in 0..=script.len() {
        let part = script[..length].to_owned();
        let (mut connection, server) = Connection::to(move |mut server| server.send(&part));
        let result = (connection.client.handshake(LONG))
            .and_then(|()| connection.client.execute(qmp::stop {}, LONG).map(drop));
        server.join().unwrap();
        // Even with all answers there, the connection may be seen to end while a command is sent.
        match result {
            Ok(()) => assert!(length >= script.len() - 1, "{length}"),
            Err(QmpError::Closed) => {}
            Err(error) => panic!("{length}: {error:?}"),
        }
        connection.events();
    }
}

#[test]
fn half_a_line_is_kept_until_its_other_half() {
    let (mut connection, server) = Connection::to(|mut server| {
        server.greet();
        let (_, id) = server.receive().unwrap();
        server.send("{\"return\": {");
        // The command with a short limit has timed out.
        let (_, second) = server.receive().unwrap();
        server.send(&format!("}}, \"id\": {id}}}\r"));
        server.send(&format!("\n{{\"return\": {{}}, \"id\": {second}}}\n"));
    });
    connection.client.handshake(LONG).unwrap();
    let error = connection.client.execute(qmp::stop {}, Duration::from_millis(10)).unwrap_err();
    assert!(matches!(error, QmpError::Timeout { .. }), "{error:?}");
    connection.client.execute(qmp::cont {}, LONG).unwrap();
    server.join().unwrap();
    connection.events();
}

#[test]
fn what_is_no_message_ends_the_connection() {
    for (line, expected) in [
        ("HTTP/1.1 400\n".to_owned(), "unexpected line \"HTTP/1.1 400\""),
        ("[1]\n".to_owned(), "unexpected line \"[1]\""),
        ("\u{1}\n".to_owned(), "unexpected line \"\\u{1}\""),
        ("a".repeat(LINE_MAX + 1), "a line has more than 1048576 bytes"),
    ] {
        let (mut connection, server) = Connection::to(move |mut server| {
            server.send(&line);
            // The connection stays open until the client closes it.
            server.receive();
        });
        let error = connection.client.handshake(LONG).unwrap_err();
        assert_eq!(error.to_string(), expected);
        connection.events();
        server.join().unwrap();
    }
}

#[test]
fn a_silent_server_is_waited_for_no_longer_than_the_limit() {
    let (mut connection, server) = Connection::to(|mut server| {
        server.receive();
    });
    let limit = Duration::from_millis(20);
    let before = Instant::now();
    let error = connection.client.handshake(limit).unwrap_err();
    assert!(matches!(error, QmpError::Timeout { .. }), "{error:?}");
    assert!(before.elapsed() >= limit);
    connection.events();
    server.join().unwrap();
}

/// A QEMU under the control of its guest can neither fill our memory nor hide its end.
#[test]
fn a_flood_of_answers_is_bounded() {
    let (mut connection, server) = Connection::to(|mut server| {
        for _ in 0..20_000 {
            server.send("{\"return\": {}, \"id\": 4711}\n");
        }
    });
    server.join().unwrap();
    let events = connection.reader.join().unwrap();
    assert!(events.is_empty());
    let waiting = connection.client.received.iter().count();
    assert!(waiting <= INCOMING_MAX, "{waiting}");
    let error = connection.client.handshake(LONG).unwrap_err();
    assert!(matches!(error, QmpError::Closed), "{error:?}");
}
