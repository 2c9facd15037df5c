//! What a controller may do instead of what it should.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::http::{Request, Response};

/// How a controller misbehaves at one request. The connection ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mischief {
    /// Hangs up without a word, as one that crashes.
    HangUp,
    /// Says nothing until the other side has had enough.
    Silence,
    /// Stops in the middle of what it has announced, until the other side has had enough.
    HalfAnAnswer,
    /// Talks until the other side has had enough.
    Endless,
    /// Says something else.
    Answer {
        /// The status code.
        status: u16,
        /// A header besides the usual ones.
        header: Option<(&'static str, String)>,
        /// The body.
        body: String,
    },
}

impl Mischief {
    /// A status and a line that explains it.
    pub fn status(status: u16) -> Mischief {
        Mischief::Answer { status, header: None, body: "not now\n".to_owned() }
    }

    /// `503` with a wish to be left alone for some seconds.
    pub fn retry_after(seconds: u64) -> Mischief {
        let header = Some(("Retry-After", seconds.to_string()));
        Mischief::Answer { status: 503, header, body: String::new() }
    }

    /// A redirection.
    pub fn redirect(status: u16, target: &str) -> Mischief {
        let header = Some(("Location", target.to_owned()));
        Mischief::Answer { status, header, body: String::new() }
    }

    /// A manifest of its own making, with status 200.
    pub fn manifest(text: &str) -> Mischief {
        Mischief::Answer { status: 200, header: None, body: text.to_owned() }
    }

    /// What is recorded as the answer.
    pub(super) fn response(&self) -> Response {
        let (status, body) = match self {
            Mischief::Answer { status, body, .. } => (*status, body.clone()),
            _ => (0, String::new()),
        };
        Response { status, content_type: "text/manifest;charset=utf-8", body: body.into() }
    }

    /// Does it.
    pub(super) fn play(&self, mut stream: &TcpStream) -> io::Result<()> {
        const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/manifest\r\n";
        match self {
            Mischief::HangUp => Ok(()),
            Mischief::Silence => wait_for_the_end(stream),
            Mischief::HalfAnAnswer => {
                write!(stream, "{HEAD}Content-Length: 1000\r\n\r\n: 1\nsession:")?;
                wait_for_the_end(stream)
            }
            Mischief::Endless => {
                write!(stream, "{HEAD}Transfer-Encoding: chunked\r\n\r\n")?;
                let chunk = format!("10000\r\n{}\r\n", "#".repeat(0x10000));
                loop {
                    stream.write_all(chunk.as_bytes())?;
                }
            }
            Mischief::Answer { status, header, body } => {
                let header = header.as_ref();
                let header = header.map(|(name, value)| format!("{name}: {value}\r\n"));
                write!(
                    stream,
                    "HTTP/1.1 {status} Mischief\r\nContent-Type: text/manifest\r\n{}\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    header.unwrap_or_default(),
                    body.len()
                )
            }
        }
    }
}

fn wait_for_the_end(stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream.take(u64::MAX), &mut io::sink()).map(drop)
}

/// Decides at which requests a controller misbehaves, and how.
pub(super) type Whim = dyn Fn(&Request) -> Option<Mischief> + Send;

/// How a controller feels like behaving; well, at first.
#[derive(Default)]
pub(super) struct Mood(pub(super) Option<Box<Whim>>);

impl fmt::Debug for Mood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Mood(bad)" } else { "Mood(good)" })
    }
}
