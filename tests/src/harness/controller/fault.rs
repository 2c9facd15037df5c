//! Faults of a controller, injected on purpose.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::message::{Request, Response};

/// How a controller fails to answer one request. The connection ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Closes the connection without an answer, as a controller that crashes.
    Disconnect,
    /// Sends nothing until the client closes the connection.
    NoAnswer,
    /// Sends the first part of an answer, and nothing more until the client closes the connection.
    PartialAnswer,
    /// Sends an answer without an end, until the client closes the connection.
    EndlessAnswer,
    /// Sends another answer.
    Answer {
        /// The status code.
        status: u16,
        /// A further header.
        header: Option<(&'static str, String)>,
        /// The body.
        body: String,
    },
}

impl Fault {
    /// An answer with this status code and a line of text.
    pub fn status(status: u16) -> Fault {
        Fault::Answer { status, header: None, body: "not now\n".to_owned() }
    }

    /// `503` with a `Retry-After` header.
    pub fn retry_after(seconds: u64) -> Fault {
        let header = Some(("Retry-After", seconds.to_string()));
        Fault::Answer { status: 503, header, body: String::new() }
    }

    /// A redirection to `target`.
    pub fn redirect(status: u16, target: &str) -> Fault {
        let header = Some(("Location", target.to_owned()));
        Fault::Answer { status, header, body: String::new() }
    }

    /// A manifest with this text, with status 200.
    pub fn manifest(text: &str) -> Fault {
        Fault::Answer { status: 200, header: None, body: text.to_owned() }
    }

    /// What is recorded as the answer.
    pub(super) fn response(&self) -> Response {
        let (status, body) = match self {
            Fault::Answer { status, body, .. } => (*status, body.clone()),
            _ => (0, String::new()),
        };
        Response { status, content_type: "text/manifest;charset=utf-8", body: body.into() }
    }

    /// Fails in this way.
    pub(super) fn perform(&self, mut stream: &TcpStream) -> io::Result<()> {
        const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/manifest\r\n";
        match self {
            Fault::Disconnect => Ok(()),
            Fault::NoAnswer => wait_for_close(stream),
            Fault::PartialAnswer => {
                write!(stream, "{HEAD}Content-Length: 1000\r\n\r\n: 1\nsession:")?;
                wait_for_close(stream)
            }
            Fault::EndlessAnswer => {
                write!(stream, "{HEAD}Transfer-Encoding: chunked\r\n\r\n")?;
                let chunk = format!("10000\r\n{}\r\n", "#".repeat(0x10000));
                loop {
                    stream.write_all(chunk.as_bytes())?;
                }
            }
            Fault::Answer { status, header, body } => {
                let header = header.as_ref();
                let header = header.map(|(name, value)| format!("{name}: {value}\r\n"));
                write!(
                    stream,
                    "HTTP/1.1 {status} Fault\r\nContent-Type: text/manifest\r\n{}\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    header.unwrap_or_default(),
                    body.len()
                )
            }
        }
    }
}

fn wait_for_close(stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream.take(u64::MAX), &mut io::sink()).map(drop)
}

/// Decides which requests meet a fault, and which one.
type Rule = dyn Fn(&Request) -> Option<Fault> + Send;

/// The faults of a controller; none at first.
#[derive(Default)]
pub(super) struct FaultInjection {
    rule: Option<Box<Rule>>,
    /// How many faults are left.
    left: usize,
}

impl FaultInjection {
    /// At most `count` faults by this rule.
    pub(super) fn new(
        count: usize,
        rule: impl Fn(&Request) -> Option<Fault> + Send + 'static,
    ) -> Self {
        FaultInjection { rule: Some(Box::new(rule)), left: count }
    }

    /// The fault that a request meets, if any.
    pub(super) fn fault(&mut self, request: &Request) -> Option<Fault> {
        let left = self.left.checked_sub(1)?;
        let fault = self.rule.as_ref().and_then(|rule| rule(request))?;
        self.left = left;
        Some(fault)
    }
}

impl fmt::Debug for FaultInjection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultInjection").field("left", &self.left).finish_non_exhaustive()
    }
}
