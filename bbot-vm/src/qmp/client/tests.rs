//! Against a server of ours that says what QEMU would, and what it never should.

use std::io::{BufRead, BufReader};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags};

use super::*;

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}"#;
const LONG: Duration = Duration::from_secs(30);

/// The client of a connection whose reader runs in a thread, as a guest's does.
struct Connection {
    client: Client,
    reader: JoinHandle<Vec<String>>,
}

impl Connection {
    fn to(server: impl FnOnce(Server) + Send + 'static) -> (Connection, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || server(Server::new(theirs)));
        let (client, mut reader) = pair(ours).unwrap();
        let reader = thread::spawn(move || {
            let mut events = Vec::new();
            while {
                rustix::event::poll(&mut [PollFd::new(&reader, PollFlags::IN)], None).unwrap();
                reader.receive(&mut |name| events.push(name)) == Received::Open
            } {}
            events
        });
        (Connection { client, reader }, server)
    }

    /// Ends the connection. Returns the events that came.
    fn events(self) -> Vec<String> {
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

    fn say(&mut self, text: &str) {
        // The client may have had enough.
        self.reader.get_mut().write_all(text.as_bytes()).ok();
    }

    /// Reads a command. Returns its name and id.
    fn hear(&mut self) -> Option<(String, u64)> {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let command: Value = serde_json::from_str(&line).ok()?;
        Some((command["execute"].as_str()?.to_owned(), command["id"].as_u64()?))
    }

    fn greet(&mut self) {
        self.say(&format!("{GREETING}\r\n"));
        let (name, id) = self.hear().unwrap();
        assert_eq!(name, "qmp_capabilities");
        self.say(&format!("{{\"return\": {{}}, \"id\": {id}}}\r\n"));
    }
}

#[test]
fn events_come_between_a_command_and_its_answer() {
    let (mut connection, server) = Connection::to(|mut server| {
        server.say("{\"event\": \"BEFORE_GREETING\"}\r\n");
        server.greet();
        let (name, id) = server.hear().unwrap();
        assert_eq!(name, "stop");
        server.say("{\"timestamp\": {\"seconds\": 1}, \"event\": \"STOP\"}\r\n");
        server
            .say("{\"event\": \"NEWER_THAN_US\", \"data\": {\"reason\": \"new\", \"x\": [1]}}\r\n");
        server.say("{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"new-reason\"}}\r\n");
        server.say(&format!("{{\"return\": {{}}, \"id\": {id}, \"new\": 1}}\r\n{{\"event\""));
        let (name, id) = server.hear().unwrap();
        assert_eq!(name, "cont");
        server.say(&format!(": \"RESUME\"}}\n{{\"return\": {{}}, \"id\": {id}}}\n"));
    });
    connection.client.handshake(LONG).unwrap();
    connection.client.execute(qmp::stop {}, LONG).unwrap();
    connection.client.execute(qmp::cont {}, LONG).unwrap();
    server.join().unwrap();
    let expected = ["BEFORE_GREETING", "STOP", "NEWER_THAN_US", "SHUTDOWN", "RESUME"];
    assert_eq!(connection.events(), expected);
}

#[test]
fn refusals_are_errors_of_the_command_only() {
    let (mut connection, server) = Connection::to(|mut server| {
        server.greet();
        let (_, id) = server.hear().unwrap();
        let refusal = r#"{"error": {"class": "NewClass", "desc": "not now"}"#;
        server.say(&format!("{refusal}, \"id\": {id}}}\n"));
        server.hear();
        server.say(&format!("{refusal}}}\n"));
        let (_, id) = server.hear().unwrap();
        server.say(&format!("{{\"return\": {{}}, \"id\": {id}}}\n"));
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
        let (_, late) = server.hear().unwrap();
        let (_, id) = server.hear().unwrap();
        assert_ne!(late, id);
        server.say("{\"return\": {\"of\": \"nobody\"}}\n");
        server.say(&format!("{{\"return\": {{\"of\": \"late\"}}, \"id\": {late}}}\n"));
        server.say(&format!("{{\"error\": {{}}, \"id\": {late}}}\n"));
        server.say(&format!("{{\"return\": {{\"of\": \"this\"}}, \"id\": {id}}}\n"));
    });
    connection.client.handshake(LONG).unwrap();
    let limit = Duration::from_millis(10);
    let error = connection.client.execute(qmp::stop {}, limit).unwrap_err();
    assert!(matches!(error, QmpError::Timeout { limit: told } if told == limit), "{error:?}");
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
            let (_, id) = server.hear().unwrap();
            server.say(&format!("{{\"return\": {status}, \"id\": {id}}}\n"));
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
        let (mut connection, server) = Connection::to(move |mut server| server.say(&part));
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
        let (_, id) = server.hear().unwrap();
        server.say("{\"return\": {");
        // The first half is waited for, in vain, by a command with a short limit.
        let (_, second) = server.hear().unwrap();
        server.say(&format!("}}, \"id\": {id}}}\r"));
        server.say(&format!("\n{{\"return\": {{}}, \"id\": {second}}}\n"));
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
            server.say(&line);
            // Open until the client has had enough.
            server.hear();
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
        server.hear();
    });
    let limit = Duration::from_millis(20);
    let before = Instant::now();
    let error = connection.client.handshake(limit).unwrap_err();
    assert!(matches!(error, QmpError::Timeout { .. }), "{error:?}");
    assert!(before.elapsed() >= limit);
    connection.events();
    server.join().unwrap();
}

/// A QEMU that the guest has taken over can neither fill our memory nor hide its end.
#[test]
fn a_flood_of_answers_is_bounded() {
    let (mut connection, server) = Connection::to(|mut server| {
        for _ in 0..20_000 {
            server.say("{\"return\": {}, \"id\": 4711}\n");
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
