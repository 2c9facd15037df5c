//! The client against a small HTTP server.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::*;

/// The server's reply to a request.
enum Reply {
    /// Sends this and closes.
    Text(String),
    /// Sends this, then `x` until the client closes the connection.
    Endless(&'static str),
    /// Sends this, then `x` every few milliseconds.
    Slow(&'static str),
    /// Reads the beginning of the request only, sends this, and closes.
    Early(&'static str),
    /// Sends nothing.
    Silent,
}

/// A server on the loopback that answers each connection with the next of its replies.
struct Server {
    port: u16,
    /// The received requests.
    requests: Receiver<String>,
}

impl Server {
    fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = channel();
        let replies: Vec<Reply> = replies.into_iter().collect();
        thread::spawn(move || {
            for reply in replies {
                let (stream, _) = listener.accept().unwrap();
                serve(stream, &reply, &sender);
            }
        });
        Self { port, requests }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/?build-task", self.port)
    }
}

fn serve(stream: TcpStream, reply: &Reply, requests: &Sender<String>) {
    if let Reply::Early(text) = reply {
        (&stream).read_exact(&mut [0; 100]).unwrap();
        return drop((&stream).write_all(text.as_bytes()));
    }
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    // The test may have ended, or the client closed the connection: neither is an error here.
    drop(requests.send(read_request(&mut reader, &stream)));
    let mut writer = stream;
    let (head, mut pace) = match reply {
        Reply::Text(text) => return drop(writer.write_all(text.as_bytes())),
        Reply::Endless(head) => (head, None),
        Reply::Slow(head) => (head, Some(channel::<()>())),
        Reply::Early(_) => return,
        Reply::Silent => return drop(reader.read_line(&mut String::new())),
    };
    let mut sent = writer.write_all(head.as_bytes());
    while sent.is_ok() {
        if let Some((_, clock)) = &mut pace {
            // Nothing is ever sent on this channel: it is a pause.
            clock.recv_timeout(Duration::from_millis(5)).unwrap_err();
        }
        sent = writer.write_all(if pace.is_some() { b"x" } else { &[b'x'; 1000] });
    }
}

fn read_request(reader: &mut impl BufRead, mut stream: &TcpStream) -> String {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).unwrap() > 0 {}
    if request.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    }
    let length = request.to_ascii_lowercase().lines().find_map(|line| {
        let value = line.strip_prefix("content-length:")?;
        value.trim().parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    request + &String::from_utf8(body).unwrap()
}

fn reply(status: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Text(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"))
}

fn redirection(status: u16, location: &str) -> Reply {
    reply(&format!("{status} Redirect\r\nLocation: {location}"), "")
}

const LONG: Duration = Duration::from_secs(60);

fn client() -> Client {
    Client { agent: Mutex::new(agent()), connect: LONG, request: LONG, env: |_| None }
}

fn soon() -> Instant {
    Instant::now() + LONG
}

fn request() -> TaskRequest {
    let name = "linux".parse().unwrap();
    let machine = bbot_manifest::MachineHeader::new("linux-1.0", name, "Linux");
    TaskRequest::new("host", vec![machine], "default", "0.16.0".parse().unwrap())
}

/// Returns the error of a request to which the server replies in this way.
fn error_for(reply: Reply, limit: Duration) -> ClientError {
    let server = Server::start([reply]);
    let result = client().request_task(&server.url(), &request(), Instant::now() + limit);
    result.expect_err("the reply is bad")
}

#[test]
fn a_task_request_is_a_posted_manifest() {
    let server = Server::start([reply("200 OK", ": 1\nsession:\n")]);
    let response = client().request_task(&server.url(), &request(), soon()).unwrap();
    assert_eq!(response.session, "");
    let request = server.requests.recv().unwrap();
    assert!(request.starts_with("POST /?build-task HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("\r\ncontent-type: text/manifest\r\n"));
    assert!(request.contains("\r\n\r\n: 1\nagent: host\n"), "{request}");
    assert!(server.requests.recv().is_err(), "one attempt");
}

/// W33, docs/controller-protocol.md: a form whose fields are in this order, with its length, and
/// again at the target of a redirection.
#[test]
fn an_artifact_is_a_form() {
    let queued = ": 1\nstatus: 200\nmessage: bindist upload is queued\n";
    let target = Server::start([reply("200 OK", queued)]);
    let server = Server::start([redirection(307, &format!("{}&x", target.url()))]);
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("0.tar");
    std::fs::write(&archive, "the archive").unwrap();
    let upload = Upload {
        session: "/foo/1",
        challenge: Some("c2ln"),
        instance: "debian",
        archive: &archive,
        sha256: "0a",
    };
    let delivery = client().post_artifact(&server.url(), &upload, soon()).unwrap();
    assert_eq!(delivery, PostOutcome::Accepted);
    for server in [&server, &target] {
        let request = server.requests.recv().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let (_, boundary) = head.split_once("multipart/form-data; boundary=").unwrap();
        let boundary = boundary.lines().next().unwrap();
        let fields = body.split(&format!("--{boundary}")).collect::<Vec<_>>();
        let fields: Vec<_> = fields.iter().filter_map(|one| one.split_once("\r\n\r\n")).collect();
        let contents: Vec<_> = fields.iter().map(|(_, content)| content.trim_end()).collect();
        assert_eq!(contents, ["/foo/1", "c2ln", "debian", "the archive", "0a"], "{request}");
        for (name, (head, _)) in
            ["session", "challenge", "instance", "archive", "sha256sum"].iter().zip(&fields)
        {
            assert!(head.contains(&format!("name=\"{name}\"")), "{request}");
        }
        assert!(fields[3].0.contains("filename=\"debian.tar\""), "{request}");
        assert!(!head.to_ascii_lowercase().contains("chunked"), "{request}");
    }
    std::fs::remove_file(&archive).unwrap();
    let error = client().post_artifact(&server.url(), &upload, soon()).unwrap_err();
    assert!(matches!(error, ClientError::File(_)), "{error:?}");
}

/// A refusal can be a manifest with a message.
#[test]
fn the_message_of_a_refusal_is_in_the_error() {
    let page = ": 1\nstatus: 422\nmessage: checksum mismatch\n";
    let error = error_for(reply("422 Oops", page), LONG);
    assert_eq!(error.to_string(), "HTTP 422: checksum mismatch");
}

/// W21: a refused request is not sent again.
#[test]
fn a_failed_request_is_one_attempt() {
    let server = Server::start([reply("503 Busy", ""), reply("200 OK", ": 1\nsession:\n")]);
    let error = client().request_task(&server.url(), &request(), soon()).unwrap_err();
    assert_eq!(error.to_string(), "HTTP 503");
    assert!(server.requests.recv().is_ok() && server.requests.try_recv().is_err());
}

#[test]
fn the_first_line_of_an_error_page_is_in_the_error() {
    let page = "\n  no such\x1b tenant \nmore\n";
    let error = error_for(reply("404 Not Found", page), LONG);
    assert_eq!(error.to_string(), "HTTP 404: no such tenant");
    let error = error_for(Reply::Endless("HTTP/1.1 500 Oops\r\n\r\n"), LONG);
    assert_eq!(error.to_string(), format!("HTTP 500: {}", "x".repeat(200)));
}

/// I6: the size is bounded.
#[test]
fn an_endless_response_is_cut_off() {
    let error = error_for(Reply::Endless("HTTP/1.1 200 OK\r\n\r\n: 1\nsession: "), LONG);
    assert_eq!(error.to_string(), "task response of over 1048576 bytes");
    let ClientError::TooLong { response } = error else { panic!("{error:?}") };
    assert_eq!(response.len() as u64, RESPONSE_MAX + 1);
    assert!(response.starts_with(b": 1\nsession: xx"));
    let error = error_for(Reply::Endless("HTTP/1.1 200 OK\r\nX: "), LONG);
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error:?}");
}

/// W21: the deadline holds whatever the controller does meanwhile.
#[test]
fn a_slow_response_ends_at_the_deadline() {
    let limit = Duration::from_millis(500);
    for reply in [
        Reply::Silent,
        Reply::Slow("HTTP/1.1 200 OK\r\n"),
        Reply::Slow("HTTP/1.1 200 OK\r\n\r\n"),
        Reply::Slow("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
    ] {
        let start = Instant::now();
        let error = error_for(reply, limit);
        assert!(matches!(error, ClientError::NoAnswer { error: ureq::Error::Timeout(_) }));
        assert!((limit..LONG / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
    let url = "http://127.0.0.1:9/";
    let error = client().request_task(url, &request(), Instant::now()).unwrap_err();
    assert!(matches!(error, ClientError::Late));
}

#[test]
fn a_malformed_response_names_its_place() {
    let error = error_for(reply("200 OK", ": 1\nsession\n"), LONG);
    let ClientError::Malformed { source, response } = &error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "invalid task response");
    assert!(source.to_string().contains(":2:"), "{source}");
    assert_eq!(response, b": 1\nsession\n");
}

#[test]
fn a_response_other_than_http_is_no_answer() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start([reply("200 OK", "")]);
    let broken = Server::start([Reply::Text("SMTP\r\n\r\n".to_owned())]);
    let cut = Server::start([Reply::Text("HTTP/1.1 200 OK\r\nContent-Le".to_owned())]);
    let short = Server::start([Reply::Text(
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n: 1\nsession:\n".to_owned(),
    )]);
    for url in [
        format!("http://127.0.0.1:{unused}/"),
        // It does not speak TLS.
        format!("https://127.0.0.1:{}/", server.port),
        broken.url(),
        cut.url(),
        short.url(),
    ] {
        let error = client().request_task(&url, &request(), soon()).unwrap_err();
        assert!(matches!(error, ClientError::NoAnswer { .. }), "{url}: {error:?}");
    }
}

/// D14: method and body are kept.
#[test]
fn kept_redirections_are_followed() {
    let target = Server::start([reply("200 OK", "")]);
    let to_target = redirection(308, &format!("http://127.0.0.1:{}/x?y", target.port));
    let server = Server::start([redirection(307, "/there?z"), to_target]);
    let outcome = client().post_result(&server.url(), b"body", soon()).unwrap();
    assert_eq!(outcome, PostOutcome::Accepted);
    let requests = [&server, &server, &target].map(|server| server.requests.recv().unwrap());
    let starts = ["POST /?build-task HTTP", "POST /there?z HTTP", "POST /x?y HTTP"];
    for (request, start) in requests.iter().zip(starts) {
        assert!(request.starts_with(start) && request.ends_with("\r\n\r\nbody"), "{request}");
    }
}

/// D14
#[test]
fn other_redirections_are_refused() {
    for status in [301, 302, 303] {
        let server = Server::start([redirection(status, "http://elsewhere/")]);
        let foreign = client().post_result(&server.url(), b"body", soon()).unwrap();
        let reason = "redirection to http://elsewhere/ would lose the request: \
                      if it is right, use that URL";
        let retry_after = None;
        assert_eq!(
            foreign,
            PostOutcome::Foreign { status, reason: reason.to_owned(), retry_after }
        );
        assert_eq!(server.requests.iter().count(), 1);
    }
    let server = Server::start((0..7).map(|_| redirection(307, "/again")));
    let error = client().request_task(&server.url(), &request(), soon()).unwrap_err();
    assert_eq!(error.to_string(), "HTTP 307: redirection to /again is one too many");
    assert_eq!(server.requests.try_iter().count(), 6);
}

/// W38: the classes of answers to a result.
#[test]
fn answers_to_a_result_are_classified() {
    for (status, expected) in [
        ("200 OK", "accepted"),
        ("204 No Content", "accepted"),
        ("300 Multiple Choices", "foreign"),
        ("304 Not Modified", "foreign"),
        ("400 Bad Request", "foreign"),
        ("401 Unauthorized", "foreign"),
        ("404 Not Found", "foreign"),
        ("408 Request Timeout", "transient"),
        ("413 Content Too Large", "foreign"),
        ("429 Too Many Requests", "transient"),
        ("500 Internal Server Error", "transient"),
        ("501 Not Implemented", "transient"),
        ("503 Service Unavailable", "transient"),
        ("599 Whatever", "transient"),
    ] {
        let server = Server::start([reply(status, "")]);
        let class = match client().post_result(&server.url(), b"", soon()).unwrap() {
            PostOutcome::Accepted => "accepted",
            PostOutcome::Transient { retry_after: None, .. } => "transient",
            PostOutcome::Transient { .. } => "transient with a time",
            PostOutcome::Foreign { .. } => "foreign",
            PostOutcome::Refused { .. } => "refused",
        };
        assert_eq!(class, expected, "{status}");
    }
}

#[test]
fn a_refusal_has_a_reason() {
    for (page, expected) in [("no such session\n", "no such session"), ("", "Bad Request")] {
        let server = Server::start([reply("400 Bad", page)]);
        let foreign = client().post_result(&server.url(), b"", soon()).unwrap();
        let (reason, retry_after) = (expected.to_owned(), None);
        assert_eq!(foreign, PostOutcome::Foreign { status: 400, reason, retry_after });
    }
}

/// W38
#[test]
fn no_answer_to_a_result_is_transient() {
    let server = Server::start([Reply::Silent]);
    let deadline = Instant::now() + Duration::from_millis(50);
    let late = client().post_result(&server.url(), b"", deadline).unwrap();
    assert!(matches!(late, PostOutcome::Transient { retry_after: None, .. }), "{late:?}");
    let later = client().post_result(&server.url(), b"", Instant::now()).unwrap();
    assert!(matches!(later, PostOutcome::Transient { retry_after: None, .. }), "{later:?}");
}

/// W61: a page takes no result, whatever its status, also one without an end.
#[test]
fn a_page_takes_no_result() {
    let html = "<!DOCTYPE html>\n<title>Log in</title>\n";
    for page in [reply("200 OK", html), Reply::Endless("HTTP/1.1 200 OK\r\n\r\n<!DOCTYPE html>\n")]
    {
        let server = Server::start([page]);
        let outcome = client().post_result(&server.url(), b"", soon()).unwrap();
        let reason = "not the empty answer of a controller, but: <!DOCTYPE html>".to_owned();
        assert_eq!(outcome, PostOutcome::Foreign { status: 200, reason, retry_after: None });
    }
    let server = Server::start([reply("200 OK", html)]);
    let error = client().request_task(&server.url(), &request(), soon()).unwrap_err();
    let expected =
        "no manifest, but perhaps the answer of a proxy or a login page: <!DOCTYPE html>";
    assert_eq!(error.to_string(), expected);
}

/// W61: an answer that breaks off may have had a body.
#[test]
fn an_answer_that_breaks_off_takes_no_result() {
    for head in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let server = Server::start([Reply::Text(format!("HTTP/1.1 200 OK\r\n{head}\r\n"))]);
        let outcome = client().post_result(&server.url(), b"", soon()).unwrap();
        assert!(matches!(outcome, PostOutcome::Transient { .. }), "{head}: {outcome:?}");
    }
    let server = Server::start([Reply::Text(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    )]);
    let outcome = client().post_result(&server.url(), b"", soon()).unwrap();
    assert_eq!(outcome, PostOutcome::Accepted);
}

/// W62: an answer that comes before the request is read is an answer, though the server closes the
/// connection, by which the rest of the request fails to be sent.
#[test]
fn an_early_answer_is_an_answer() {
    // The longer one is announced first (W65).
    for size in [(1 << 20) - 1, 9 << 20, 9 << 20, (1 << 20) - 1] {
        let big = vec![b'x'; size];
        let server = Server::start([Reply::Early("HTTP/1.1 413 Content Too Large\r\n\r\n")]);
        let outcome = client().post_result(&server.url(), &big, soon()).unwrap();
        let reason = "Payload Too Large".to_owned();
        assert_eq!(outcome, PostOutcome::Foreign { status: 413, reason, retry_after: None });
    }
}

/// W38
#[test]
fn retry_after_is_returned() {
    let server = Server::start([reply("503 Busy\r\nRetry-After: 120", "try later")]);
    let transient = client().post_result(&server.url(), b"", soon()).unwrap();
    let reason = "HTTP 503: try later".to_owned();
    let retry_after = Some(Duration::from_secs(120));
    assert_eq!(transient, PostOutcome::Transient { reason, retry_after });
}

#[test]
fn a_request_ends_by_the_request_timeout() {
    let server = Server::start([Reply::Silent]);
    let hasty = Client { request: Duration::from_millis(50), ..client() };
    let error = hasty.request_task(&server.url(), &request(), soon()).unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error:?}");
}

/// W40: a request under way ends at once, and a later one works.
#[test]
fn abort_ends_requests_under_way() {
    let server = Server::start([Reply::Silent, reply("200 OK", ": 1\nsession:\n")]);
    let (client, url) = (Arc::new(client()), server.url());
    let asking = {
        let (client, url) = (Arc::clone(&client), url.clone());
        thread::spawn(move || client.request_task(&url, &request(), soon()))
    };
    server.requests.recv().unwrap();
    let start = Instant::now();
    client.abort();
    let error = asking.join().unwrap().unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error:?}");
    assert!(start.elapsed() < LONG / 2);
    assert!(client.request_task(&url, &request(), soon()).is_ok());
}

/// A client whose requests go through the proxy at this address.
fn proxied(
    proxy: &'static OnceLock<String>,
    env: fn(&str) -> Option<String>,
    url: String,
) -> Client {
    proxy.set(url).unwrap();
    Client { env, ..client() }
}

/// W64: an http request goes to the proxy in absolute form, with the login to the proxy; the answer
/// is that of the controller.
#[test]
fn http_requests_reach_the_proxy_in_absolute_form() {
    static PROXY: OnceLock<String> = OnceLock::new();
    let server = Server::start([
        reply("200 OK", ": 1\nsession:\n"),
        reply("200 OK", ""),
        reply("407 Proxy Authentication Required", ""),
    ]);
    let env = |name: &str| PROXY.get().filter(|_| name == "http_proxy").cloned();
    let url = format!("http://user:pass@127.0.0.1:{}", server.port);
    let client = proxied(&PROXY, env, url);
    let target = "http://ci.invalid:8080/?build-task";
    assert!(client.request_task(target, &request(), soon()).is_ok());
    let body = vec![b'x'; 3 << 20];
    assert_eq!(client.post_result(target, &body, soon()).unwrap(), PostOutcome::Accepted);
    let foreign = client.post_result("http://ci.invalid", b"", soon()).unwrap();
    assert!(matches!(foreign, PostOutcome::Foreign { status: 407, .. }), "{foreign:?}");
    let lines = ["ci.invalid:8080/?build-task", "ci.invalid:8080/?build-task", "ci.invalid/"];
    for line in lines {
        let request = server.requests.recv().unwrap();
        assert!(request.starts_with(&format!("POST http://{line} HTTP/1.1\r\n")), "{request:.300}");
        let head = request.to_ascii_lowercase();
        assert!(head.contains("\r\nproxy-authorization: basic "), "{request:.300}");
        let host = line.split('/').next().unwrap();
        assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{request:.300}");
    }
}

/// W64: an https request goes through a tunnel.
#[test]
fn https_requests_go_through_a_tunnel() {
    static PROXY: OnceLock<String> = OnceLock::new();
    let server = Server::start([reply("403 Forbidden", "")]);
    let env = |name: &str| PROXY.get().filter(|_| name == "https_proxy").cloned();
    let client = proxied(&PROXY, env, format!("http://127.0.0.1:{}", server.port));
    let error = client.request_task("https://ci.invalid/", &request(), soon()).unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error:?}");
    assert!(server.requests.recv().unwrap().starts_with("CONNECT ci.invalid:443 HTTP/1.1\r\n"));
}

/// W65: a server that refuses `Expect` gets the request without it, once; an artifact and a long
/// result have it at first.
#[test]
fn a_refused_expectation_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("0.tar");
    std::fs::write(&archive, "the archive").unwrap();
    let (session, instance, sha256) = ("/foo/1", "debian", "0a");
    let upload = Upload { session, challenge: None, instance, archive: &archive, sha256 };
    let queued = reply("200 OK", ": 1\nstatus: 200\nmessage: queued\n");
    let refused = || reply("417 Expectation Failed", "");
    let server = Server::start([refused(), queued, refused(), reply("200 OK", ""), refused()]);
    let (client, url) = (client(), server.url());
    assert_eq!(client.post_artifact(&url, &upload, soon()).unwrap(), PostOutcome::Accepted);
    let long = vec![b'x'; 1 << 20];
    assert_eq!(client.post_result(&url, &long, soon()).unwrap(), PostOutcome::Accepted);
    let foreign = client.post_result(&url, b"short", soon()).unwrap();
    assert!(matches!(foreign, PostOutcome::Foreign { status: 417, .. }), "{foreign:?}");
    let expects = |request: String| request.to_ascii_lowercase().contains("\r\nexpect:");
    let expected = [true, false, true, false, false];
    assert_eq!(expected.map(|_| expects(server.requests.recv().unwrap())), expected);
}

#[test]
fn bad_urls_and_proxies_are_errors() {
    for url in ["", "ftp://a/", "a b", "/x"] {
        let error = client().post_result(url, b"", soon()).unwrap_err();
        assert_eq!(error.to_string(), format!("'{url}' is not an http URL"));
    }
    let client = Client { env: |_| Some("no proxy".to_owned()), ..client() };
    let error = client.post_result("http://a/", b"", soon()).unwrap_err();
    assert_eq!(error.to_string(), "'no proxy' is not a proxy's URL");
    let client = Client { env: |_| Some("socks5://127.0.0.1:9".to_owned()), ..client };
    for target in ["http://a/", "https://a/"] {
        let error = client.post_result(target, b"", soon()).unwrap_err();
        assert_eq!(error.to_string(), "'socks5://127.0.0.1:9' is not a proxy's URL");
    }
}
