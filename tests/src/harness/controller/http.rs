//! A small HTTP/1.1 server: bounded in connections, sizes and time, one thread a connection.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::fault::Fault;
use super::message::{Request, Response};

/// Connections that are served at a time; a further one is closed at once.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of the request line and the headers together.
const HEAD_MAX: u64 = 16 << 10;
/// How long a client may send or receive nothing.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers requests; called from many threads.
pub trait Handler: Send + Sync + 'static {
    /// The size limit of the body of `head`, a request without its body, in bytes.
    fn body_limit(&self, head: &Request) -> u64;
    /// The answer to a whole request.
    fn answer(&self, request: Request) -> Response;
    /// The answer to a request whose body exceeds the limit.
    fn answer_too_large(&self, head: Request) -> Response;
    /// How the server fails instead of answering a whole request, if at all.
    fn fault(&self, _request: &Request) -> Option<Fault> {
        None
    }
}

/// A running server; dropping it closes every connection and ends its threads.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Dropping it wakes the accepting thread for the last time.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on `listener` until dropped.
    ///
    /// # Errors
    /// If a thread or a socket cannot be made.
    pub fn start(listener: TcpListener, handler: Arc<dyn Handler>) -> io::Result<Server> {
        let address = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new()
            .name(format!("http-{}", address.port()))
            .spawn(move || accept_all(&listener, &stopped, &handler))?;
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            drop(thread.join());
        }
    }
}

/// The open connections by number, so that they can be shut down.
type Connections = Mutex<HashMap<u64, TcpStream>>;

fn accept_all(listener: &TcpListener, stopped: &UnixStream, handler: &Arc<dyn Handler>) {
    let connections = Arc::new(Connections::default());
    let mut threads = Vec::new();
    for number in 0.. {
        let mut ready =
            [listener.as_fd(), stopped.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut ready, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            Ok(_) if ready[1].any() == Some(false) => (),
            _ => break,
        }
        let Ok((stream, _)) = listener.accept() else { continue };
        threads.retain(|thread: &JoinHandle<()>| !thread.is_finished());
        if threads.len() < CONNECTIONS_MAX {
            threads.extend(start_connection(number, stream, &connections, handler));
        }
    }
    for stream in lock(&connections).values() {
        // It fails if the client has closed the connection before.
        drop(stream.shutdown(Shutdown::Both));
    }
    for thread in threads {
        // A panic there has been printed already.
        drop(thread.join());
    }
}

fn lock(connections: &Connections) -> std::sync::MutexGuard<'_, HashMap<u64, TcpStream>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one connection in a thread of its own; `None` if there cannot be one.
fn start_connection(
    number: u64,
    stream: TcpStream,
    connections: &Arc<Connections>,
    handler: &Arc<dyn Handler>,
) -> Option<JoinHandle<()>> {
    lock(connections).insert(number, stream.try_clone().ok()?);
    let (connections, handler) = (Arc::clone(connections), Arc::clone(handler));
    let serve = move || {
        // It fails if the client closes the connection: then no answer is needed.
        drop(serve(&stream, handler.as_ref()));
        lock(&connections).remove(&number);
        drop(stream.shutdown(Shutdown::Both));
    };
    std::thread::Builder::new().name(format!("http-connection-{number}")).spawn(serve).ok()
}

/// Answers the requests of one connection, one after the other.
fn serve(stream: &TcpStream, handler: &dyn Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    loop {
        let head = match read_head(&mut input) {
            Ok(Some((head, version))) => (head, version),
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return refuse(stream, &Response::refusal(400, &error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let (mut request, version) = head;
        let closes = request.closes() || version == Version::Http10;
        let limit = handler.body_limit(&request);
        // A body that exceeds the limit need not be sent.
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        if request.header("expect").is_some() && length.is_none_or(|length: u64| length <= limit) {
            (&mut &*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let Some(body) = read_body(&mut input, &request, limit)? else {
            return refuse(stream, &handler.answer_too_large(request));
        };
        request.body = body;
        if let Some(fault) = handler.fault(&request) {
            return fault.perform(stream);
        }
        respond(stream, &handler.answer(request), closes)?;
        if closes {
            return Ok(());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads the request line and the headers; `None` at the end of the connection.
fn read_head(input: &mut impl BufRead) -> io::Result<Option<(Request, Version)>> {
    let mut head = input.by_ref().take(HEAD_MAX);
    let Some(line) = read_line(&mut head)? else { return Ok(None) };
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed("malformed request line"));
    };
    let version = match version {
        "HTTP/1.0" => Version::Http10,
        "HTTP/1.1" => Version::Http11,
        _ => return Err(malformed("unknown HTTP version")),
    };
    let mut request =
        Request { method: method.to_owned(), target: target.to_owned(), ..Request::default() };
    loop {
        let line = read_line(&mut head)?.ok_or_else(|| malformed("headers too long or cut off"))?;
        if line.is_empty() {
            return Ok(Some((request, version)));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("malformed header"))?;
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads one line without its end; `None` if there is no whole line.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    line.pop_if(|last| *last == b'\r');
    String::from_utf8(line).map(Some).map_err(|_| malformed("not UTF-8"))
}

/// Reads the body that `head` announces; `None` if it is longer than `limit`.
fn read_body(input: &mut impl BufRead, head: &Request, limit: u64) -> io::Result<Option<Vec<u8>>> {
    if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return read_chunks(input, limit);
    }
    let Some(length) = head.header("content-length") else { return Ok(Some(Vec::new())) };
    let length: u64 = length.parse().map_err(|_| malformed("malformed content-length"))?;
    if length > limit {
        return Ok(None);
    }
    let mut body = Vec::new();
    read_exactly(input, length, &mut body)?;
    Ok(Some(body))
}

fn read_chunks(input: &mut impl BufRead, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(&mut input.by_ref().take(HEAD_MAX))?;
        let line = line.ok_or_else(|| malformed("chunks cut off"))?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed("malformed chunk"))?;
        if size > limit.saturating_sub(body.len() as u64) {
            return Ok(None);
        }
        read_exactly(input, size, &mut body)?;
        if read_line(&mut input.by_ref().take(2))?.as_deref() != Some("") {
            return Err(malformed("malformed end of a chunk"));
        }
        if size == 0 {
            return Ok(Some(body));
        }
    }
}

fn read_exactly(input: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if input.take(length).read_to_end(body)? as u64 == length {
        return Ok(());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Answers a request that was not read to its end. The rest is read all the same, up to a limit:
/// closing the connection before would reset it, and the answer would be lost.
fn refuse(stream: &TcpStream, response: &Response) -> io::Result<()> {
    const REST_MAX: u64 = 64 << 20;
    respond(stream, response, true)?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream.take(REST_MAX), &mut io::sink()).map(drop)
}

fn respond(mut stream: &TcpStream, response: &Response, closes: bool) -> io::Result<()> {
    let reason = match response.status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        413 => "Payload Too Large",
        422 => "Unprocessable Content",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Other",
    };
    let connection = if closes { "close" } else { "keep-alive" };
    let mut text = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len(),
    )
    .into_bytes();
    text.extend_from_slice(&response.body);
    stream.write_all(&text)
}
