//! The controller of the harness behaves as the real one: the tasks that it assigns, the results
//! that it accepts, and each of its refusals.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use bbot_manifest::{Lines, Manifest, ResultManifest, ResultRequest, ResultStatus, TaskResponse};
use bbot_tests::harness::controller::{
    Controller, ControllerConfig, KnownKey, Outcome, Package, Verdict, generate_key,
};

const MACHINE: &str = "linux_debian_12-gcc_14";

/// A controller on the loopback interface that has libfoo to build.
struct Setup {
    controller: Controller,
    folder: tempfile::TempDir,
}

impl Setup {
    fn new(change: impl FnOnce(&mut ControllerConfig, &std::path::Path)) -> Setup {
        let base = bbot_tests::harness::programs::scratch_base().unwrap();
        let folder = tempfile::Builder::new().prefix("bbot-").tempdir_in(base).unwrap();
        let mut config = ControllerConfig {
            packages: vec![Package::new("libfoo", "1.2.3", "linux*-gcc*")],
            ..ControllerConfig::default()
        };
        change(&mut config, folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Setup { controller: Controller::on(listener, config).unwrap(), folder }
    }

    /// Without keys.
    fn open() -> Setup {
        Setup::new(|_, _| ())
    }

    /// With one key, `key.pem` in the folder. Returns its fingerprint too.
    fn with_key() -> (Setup, String) {
        let mut fingerprint = None;
        let setup = Setup::new(|config, folder| {
            let (_, public) = generate_key(folder).unwrap();
            let key = KnownKey::read(&public).unwrap();
            fingerprint = Some(key.fingerprint().to_owned());
            config.keys.push(key);
        });
        (setup, fingerprint.unwrap())
    }

    fn address(&self) -> String {
        let url = self.controller.url();
        url.trim_start_matches("http://").split('/').next().unwrap().to_owned()
    }

    /// Sends these bytes; returns what is received until the end of the connection.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Posts `body`; returns status and body of the answer.
    fn post(&self, query: &str, body: &[u8]) -> (u16, String) {
        let mut request = format!(
            "POST /?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        split(&self.send(&request))
    }

    fn ask(&self, more: &str, machines: &[&str]) -> (u16, String) {
        self.post("build-task", task_request(more, machines).as_bytes())
    }

    fn ask_for_task(&self, more: &str) -> TaskResponse {
        let (status, body) = self.ask(more, &[MACHINE]);
        assert_eq!(status, 200, "{body}");
        TaskResponse::parse(body.as_bytes(), "response").unwrap()
    }

    fn post_result(&self, result: &ResultRequest) -> (u16, Verdict) {
        let text = result.to_text(Lines::Long).unwrap();
        let (status, _) = self.post("build-result", text.as_bytes());
        let Outcome::Result { verdict, .. } = self.controller.exchanges().pop().unwrap().outcome
        else {
            panic!("not a result: {status}");
        };
        (status, verdict)
    }

    /// The signature of `challenge` by the key in the folder.
    fn sign(&self, challenge: &str) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        openssl.args(["pkeyutl", "-sign", "-inkey"]).arg(self.folder.path().join("key.pem"));
        let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(challenge.as_bytes()).unwrap();
        child.wait_with_output().unwrap().stdout
    }
}

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn task_request(more: &str, machines: &[&str]) -> String {
    let machine = |name: &&str| format!(":\nid: {name}-1\nname: {name}\nsummary: A machine\n");
    let machines: Vec<_> = machines.iter().map(machine).collect();
    let head = ": 1\nagent: host\ntoolchain-name: default\ntoolchain-version: 0.16.0\n";
    format!("{head}{more}{}", machines.concat())
}

fn result(session: &str, status: ResultStatus) -> ResultRequest {
    let (name, version) = ("libfoo".parse().unwrap(), "1.2.3".parse().unwrap());
    let result = ResultManifest::new(name, version, status);
    let mut request = ResultRequest::new(session, result);
    request.agent_checksum = Some("2".to_owned());
    request
}

/// A task has a session of nine fields, the machine that matched, and the URL for its result.
#[test]
fn a_task_is_assigned_once() {
    let setup = Setup::open();
    let response = setup.ask_for_task("");
    let fields: Vec<_> = response.session.split('/').collect();
    assert_eq!(
        fields[..8],
        ["", "libfoo", "1.2.3", "x86_64-linux-musl", "default", "default", "default", "0.16.0"]
    );
    assert!(fields.len() == 9 && fields[8].parse::<u64>().is_ok());
    assert_eq!(response.challenge, None);
    let result_url = format!("http://{}/?build-result", setup.address());
    assert_eq!(response.result_url, Some(result_url));
    let task = response.task.unwrap();
    assert_eq!(task.machine.to_string(), MACHINE);
    assert_eq!(task.name.to_string(), "libfoo");
    assert_eq!(setup.ask("", &[MACHINE]), (200, ": 1\nsession:\n".to_owned()));
}

/// No machine matches: an empty session, to the byte.
#[test]
fn nothing_to_build_is_an_empty_session() {
    let setup = Setup::open();
    assert_eq!(setup.ask("", &["windows_10-msvc_17"]), (200, ": 1\nsession:\n".to_owned()));
    assert_eq!(setup.controller.exchanges()[0].outcome, Outcome::NoTask);
}

/// The first machine that matches is chosen, in the order of the request.
#[test]
fn the_first_machine_that_matches_is_chosen() {
    let setup = Setup::open();
    let (_, body) = setup.ask("", &["windows_10-msvc_17", MACHINE, "linux_fedora-gcc_15"]);
    assert!(body.contains(&format!("\nmachine: {MACHINE}\n")), "{body}");
}

/// Task requests that are refused.
#[test]
fn bad_task_requests_are_refused() {
    let setup = Setup::open();
    for (body, status) in [
        (String::new(), 400),
        ("garbage".to_owned(), 400),
        (task_request("unknown: name\n", &[MACHINE]), 400),
        (task_request("", &[]), 400),
        (task_request("interactive-mode: both\n", &[MACHINE]), 400),
        ("#".repeat((100 << 10) + 1), 413),
    ] {
        assert_eq!(setup.post("build-task", body.as_bytes()).0, status, "{body:.60}");
    }
    assert_eq!(setup.post("no-such-service", b"").0, 400);
    assert!(setup.controller.exchanges().iter().all(|one| one.outcome == Outcome::Refused));
    assert!(!setup.controller.is_done());
    let closed = Setup::new(|config, _| config.closed = true);
    assert_eq!(closed.ask("", &[MACHINE]).0, 501);
}

/// If keys are configured, an agent without one of them is refused, and the others get a challenge.
#[test]
fn an_unknown_agent_is_refused() {
    let (setup, fingerprint) = Setup::with_key();
    assert_eq!(setup.ask("", &[MACHINE]).0, 401);
    let unknown = format!("fingerprint: {}\n", "0".repeat(64));
    assert_eq!(setup.ask(&unknown, &[MACHINE]).0, 401);
    let response = setup.ask_for_task(&format!("fingerprint: {fingerprint}\n"));
    let challenge = response.challenge.unwrap();
    assert!(challenge.len() == 64 && challenge.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

/// A result with a signature of the challenge is stored; without one, with a wrong one, or with a
/// used session it is not, and the answer is the same.
#[test]
fn a_result_is_stored_if_its_challenge_is_signed() {
    let (setup, fingerprint) = Setup::with_key();
    let response = setup.ask_for_task(&format!("fingerprint: {fingerprint}\n"));
    let mut given = result(&response.session, ResultStatus::Success);
    assert!(matches!(setup.post_result(&given), (200, Verdict::Unauthenticated(_))));
    given.challenge = Some(setup.sign(&"0".repeat(64)));
    assert!(matches!(setup.post_result(&given), (200, Verdict::Unauthenticated(_))));
    given.challenge = Some(b"not a signature".to_vec());
    assert!(matches!(setup.post_result(&given), (200, Verdict::Unauthenticated(_))));
    assert!(!setup.controller.is_done());
    given.challenge = Some(setup.sign(&response.challenge.unwrap()));
    assert_eq!(setup.post_result(&given), (200, Verdict::Stored(ResultStatus::Success)));
    assert!(setup.controller.is_done());
    assert_eq!(setup.post_result(&given), (200, Verdict::Expired), "a session is used once");
}

/// A signature without a challenge is refused.
#[test]
fn a_signature_without_a_challenge_is_refused() {
    let setup = Setup::open();
    let response = setup.ask_for_task("");
    let mut given = result(&response.session, ResultStatus::Success);
    given.challenge = Some(vec![1; 256]);
    assert!(matches!(setup.post_result(&given), (200, Verdict::Unauthenticated(_))));
}

/// Results that are refused: malformed, of another package, with a malformed session, too large.
#[test]
fn bad_results_are_refused() {
    let setup = Setup::open();
    let response = setup.ask_for_task("");
    let session = response.session;
    assert_eq!(setup.post("build-result", b": 1\nsession: x\n").0, 400);
    assert_eq!(setup.post("build-result&more=1", b"").0, 400);
    assert_eq!(setup.post_result(&result("a/b", ResultStatus::Error)).0, 400);
    let other = session.replace("libfoo", "libbar");
    assert_eq!(setup.post_result(&result(&other, ResultStatus::Error)).0, 400);
    assert_eq!(setup.post_result(&result(&session, ResultStatus::Skip)).0, 400, "nothing to skip");
    assert_eq!(setup.post("build-result", &vec![b'#'; (10 << 20) + 1]).0, 413);
    assert!(!setup.controller.is_done());
}

/// An interrupted task is assigned again, and its first session is not accepted any more.
#[test]
fn an_interrupted_task_is_assigned_again() {
    let setup = Setup::open();
    let first = setup.ask_for_task("").session;
    assert_eq!(
        setup.post_result(&result(&first, ResultStatus::Interrupt)),
        (200, Verdict::PutBack)
    );
    let second = setup.ask_for_task("").session;
    assert_ne!(first, second);
    assert_eq!(setup.post_result(&result(&first, ResultStatus::Success)), (200, Verdict::Expired));
    let aborted = setup.post_result(&result(&second, ResultStatus::Abort));
    assert_eq!(aborted, (200, Verdict::Stored(ResultStatus::Abort)), "an abort is a result");
}

/// The checksums of a result are in the next task, and with them a skip is accepted.
#[test]
fn checksums_are_kept_for_the_next_build() {
    let setup = Setup::open();
    let mut given = result(&setup.ask_for_task("").session, ResultStatus::Success);
    given.result.worker_checksum = Some("w".to_owned());
    given.result.dependency_checksum = Some("d".to_owned());
    assert_eq!(setup.post_result(&given).1, Verdict::Stored(ResultStatus::Success));
    setup.controller.rebuild("libfoo");
    let response = setup.ask_for_task("");
    assert_eq!(response.agent_checksum.as_deref(), Some("2"));
    let task = response.task.unwrap();
    assert_eq!(task.worker_checksum.as_deref(), Some("w"));
    assert_eq!(task.dependency_checksum.as_deref(), Some("d"));
    given.session = response.session;
    given.result.status = ResultStatus::Skip;
    assert_eq!(setup.post_result(&given), (200, Verdict::Stored(ResultStatus::Skip)));
}

/// The package repository serves its files, and nothing else.
#[test]
fn repository_files_are_served() {
    let setup = Setup::new(|config, folder| {
        std::fs::write(folder.join("secret"), "s").unwrap();
        std::fs::create_dir(folder.join("repository")).unwrap();
        std::fs::write(folder.join("repository/a.tar"), "abc").unwrap();
        config.repository = Some(folder.join("repository"));
    });
    let get = |path: &str| split(&setup.send(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()));
    assert_eq!(get("/1/stable/a.tar"), (200, "abc".to_owned()));
    for path in
        ["/1/stable/b.tar", "/1/stable/../secret", "/1/stable//etc/passwd", "/1/stable/", "/a.tar"]
    {
        assert_eq!(get(path).0, 404, "{path}");
    }
}

/// An exchange has the bytes, the times and the outcome.
#[test]
fn exchanges_are_recorded() {
    let setup = Setup::open();
    let before = bbot_tests::harness::clock::now();
    setup.ask("", &[MACHINE]);
    let first = |all: &[_]| all.first().cloned();
    let exchange: bbot_tests::harness::controller::Exchange =
        setup.controller.wait(Duration::from_secs(10), first).unwrap();
    let after = bbot_tests::harness::clock::now();
    assert_eq!(exchange.request.body, task_request("", &[MACHINE]).into_bytes());
    assert_eq!(exchange.request.header("host"), Some("x"));
    assert!(before < exchange.received_at && exchange.received_at <= exchange.answered_at);
    assert!(exchange.answered_at < after);
    assert!(matches!(exchange.outcome, Outcome::Task { package, .. } if package == "libfoo"));
}

/// Malformed HTTP is refused, and the server goes on. Chunked bodies, and several requests on one
/// connection, are accepted.
#[test]
fn malformed_http_is_refused() {
    let setup = Setup::open();
    for garbage in ["x\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET / HTTP/1.1\r\nnocolon\r\n\r\n"] {
        assert_eq!(split(&setup.send(garbage.as_bytes())).0, 400, "{garbage}");
    }
    let endless = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(4000));
    assert_eq!(split(&setup.send(endless.as_bytes())).0, 400);
    let body = task_request("", &["none"]);
    let (one, two) = body.split_at(10);
    let head = "POST /?build-task HTTP/1.1\r\n";
    let answer = setup.send(
        format!(
            "{head}Content-Length: {}\r\n\r\n{body}{head}Transfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            body.len(),
            one.len(),
            two.len(),
        )
        .as_bytes(),
    );
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("session:\n").count(), 2, "{answer}");
}
