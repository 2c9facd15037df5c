//! A controller that behaves as the real one does, with a memory of all that was said.
//!
//! `POST /?build-task` asks for a task, `POST /?upload=<type>` brings an artifact,
//! `POST /?build-result` brings a result, `GET /1/stable/...` reads from the package repository.

mod auth;
mod http;
mod log;
mod mischief;
mod pairs;
mod pattern;
mod queue;
mod upload;

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bbot_manifest::protocol::InteractiveMode;
use bbot_manifest::{Manifest, ResultRequest, TaskRequest};

pub use auth::{KnownKey, challenge, generate_key, hex_sha256};
pub use http::{Handler, Request, Response, Server};
pub use log::{Exchange, Outcome};
pub use mischief::Mischief;
pub use pairs::Pair;
pub use queue::{Package, Receipt, Verdict};
pub use upload::Artifact;

use self::mischief::Mood;
use self::queue::{Asker, Queue, Task};
use crate::farm::Inside;
use crate::growing::Growing;

/// The greatest task request.
const TASK_REQUEST_MAX: u64 = 100 << 10;
/// The greatest result.
const RESULT_REQUEST_MAX: u64 = 10 << 20;

/// The greatest artifact.
const UPLOAD_MAX: u64 = 128 << 20;

/// What a controller is like.
#[derive(Debug, Clone, Default)]
pub struct ControllerConfig {
    /// What is to be built.
    pub packages: Vec<Package>,
    /// The keys of the agents that it knows; without any it does not authenticate.
    pub keys: Vec<KnownKey>,
    /// The folder of the package repository.
    pub repository: Option<PathBuf>,
    /// The types of artifacts that it takes.
    pub uploads: Vec<String>,
    /// Whether it hands out builds at all.
    pub closed: bool,
}

/// A running controller; it ends when dropped.
#[derive(Debug)]
pub struct Controller {
    server: Server,
    office: Arc<Office>,
}

impl Controller {
    /// Starts a controller on a free port of `address`' host, as seen from `inside`.
    ///
    /// # Errors
    /// If there is no such address.
    pub fn start(
        inside: &Inside,
        host: std::net::IpAddr,
        config: ControllerConfig,
    ) -> Result<Self> {
        let listener = inside
            .run(|| std::net::TcpListener::bind((host, 0)))?
            .with_context(|| format!("the controller cannot listen on {host}"))?;
        Self::on(listener, config)
    }

    /// Starts a controller on a listener.
    ///
    /// # Errors
    /// If a thread cannot be made.
    pub fn on(listener: std::net::TcpListener, config: ControllerConfig) -> Result<Self> {
        let address = listener.local_addr()?;
        let office = Arc::new(Office::new(address, config));
        let server = Server::start(listener, Arc::clone(&office) as Arc<dyn Handler>)
            .context("cannot start the controller")?;
        Ok(Controller { server, office })
    }

    /// The URL for the agent's command line.
    pub fn url(&self) -> String {
        format!("http://{}/?build-task", self.server.address())
    }

    /// The URL of its package repository.
    pub fn repository_url(&self) -> String {
        self.office.repository_url()
    }

    /// Wants one more package.
    pub fn add(&self, package: Package) {
        self.office.queue().add(package);
    }

    /// Wants a package that is built to be built again.
    pub fn rebuild(&self, name: &str) {
        self.office.queue().rebuild(name);
    }

    /// From now on misbehaves at each request for which `whim` says how.
    pub fn misbehave(&self, whim: impl Fn(&Request) -> Option<Mischief> + Send + 'static) {
        *self.office.mood() = Mood(Some(Box::new(whim)));
    }

    /// From now on behaves well again.
    pub fn behave(&self) {
        *self.office.mood() = Mood::default();
    }

    /// Whether all is built.
    pub fn is_done(&self) -> bool {
        self.office.queue().is_done()
    }

    /// How many packages wait for an agent.
    pub fn unbuilt(&self) -> usize {
        self.office.queue().unbuilt()
    }

    /// All that was said until now.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.office.log.all()
    }

    /// Waits until `find` finds something in what was said, `limit` at most.
    pub fn wait<T>(
        &self,
        limit: Duration,
        find: impl FnMut(&[Exchange]) -> Option<T>,
    ) -> Option<T> {
        self.office.log.wait(limit, find)
    }
}

/// What the connections share.
#[derive(Debug)]
struct Office {
    address: SocketAddr,
    keys: Vec<KnownKey>,
    repository: Option<PathBuf>,
    uploads: Vec<String>,
    closed: bool,
    queue: Mutex<Queue>,
    mood: Mutex<Mood>,
    log: Growing<Exchange>,
}

type Answer = (Response, Outcome);

fn refuse(status: u16, reason: &str) -> Answer {
    (Response::refusal(status, reason), Outcome::Refused)
}

impl Handler for Office {
    fn body_limit(&self, head: &Request) -> u64 {
        match first_parameter(head) {
            "build-result" => RESULT_REQUEST_MAX,
            "upload" => UPLOAD_MAX,
            _ => TASK_REQUEST_MAX,
        }
    }

    fn answer(&self, request: Request) -> Response {
        let received_at = crate::clock::now();
        let (response, outcome) = match (request.method.as_str(), first_parameter(&request)) {
            ("POST", "build-task") => self.answer_task(&request),
            ("POST", "build-result") => self.answer_result(&request),
            ("POST", "upload") => self.answer_upload(&request),
            ("GET" | "HEAD", "") => self.answer_file(&request),
            _ => refuse(400, "no such service"),
        };
        self.record(received_at, request, &response, outcome);
        response
    }

    fn answer_too_large(&self, head: Request) -> Response {
        let (response, outcome) = refuse(413, "the request is too large");
        self.record(crate::clock::now(), head, &response, outcome);
        response
    }

    fn mischief(&self, request: &Request) -> Option<Mischief> {
        let mischief = self.mood().0.as_ref().and_then(|whim| whim(request))?;
        let (now, response) = (crate::clock::now(), mischief.response());
        self.record(now, request.clone(), &response, Outcome::Mischief);
        Some(mischief)
    }
}

/// The name of the first query parameter: it says which service is meant.
fn first_parameter(request: &Request) -> &str {
    let first = request.query().split('&').next().unwrap_or_default();
    first.split('=').next().unwrap_or_default()
}

impl Office {
    fn new(address: SocketAddr, config: ControllerConfig) -> Office {
        let mut queue = Queue::default();
        config.packages.into_iter().for_each(|package| queue.add(package));
        Office {
            address,
            keys: config.keys,
            repository: config.repository,
            uploads: config.uploads,
            closed: config.closed,
            queue: Mutex::new(queue),
            mood: Mutex::default(),
            log: Growing::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn repository_url(&self) -> String {
        format!("http://{}/1/stable", self.address)
    }

    fn record(&self, received_at: u64, request: Request, response: &Response, outcome: Outcome) {
        let response = response.clone();
        let answered_at = crate::clock::now();
        self.log.add(Exchange { received_at, answered_at, request, response, outcome });
    }

    fn answer_task(&self, request: &Request) -> Answer {
        if self.closed {
            return refuse(501, "building is not configured");
        }
        let asked = match TaskRequest::parse(&request.body, "task request") {
            Ok(asked) => asked,
            Err(error) => return refuse(400, &error.to_string()),
        };
        if asked.machines.is_empty() {
            return refuse(400, "no machines");
        }
        let interactive = asked.interactive_mode.unwrap_or(InteractiveMode::False);
        if interactive != InteractiveMode::False && asked.interactive_login.is_none() {
            return refuse(400, "interactive mode without a login");
        }
        if !self.keys.is_empty() && !self.knows(asked.fingerprint.as_deref()) {
            return refuse(401, "authentication is required");
        }
        match self.hand_out(&asked) {
            Ok(answer) => answer,
            Err(error) => refuse(500, &format!("{error:#}")),
        }
    }

    fn knows(&self, fingerprint: Option<&str>) -> bool {
        self.keys.iter().any(|key| Some(key.fingerprint()) == fingerprint)
    }

    fn hand_out(&self, request: &TaskRequest) -> Result<Answer> {
        // An agent that shows a key to a controller without keys is served without a challenge.
        let fingerprint = request.fingerprint.clone().filter(|_| !self.keys.is_empty());
        let challenge = fingerprint.as_ref().map(|_| challenge()).transpose()?;
        let asker = Asker {
            toolchain_name: request.toolchain_name.clone(),
            toolchain_version: request.toolchain_version.to_string(),
            fingerprint,
        };
        let machines: Vec<_> =
            request.machines.iter().map(|header| header.name.to_string()).collect();
        let now = crate::clock::now();
        let Some(task) = self.queue().hand_out(&asker, &machines, challenge.as_deref(), now) else {
            let nothing = pairs::write(true, &[pair("session", "")]);
            return Ok((Response::manifest(nothing), Outcome::NoTask));
        };
        let response = Response::manifest(self.task_text(&task, challenge.as_deref()));
        Ok((response, Outcome::Task { session: task.session, package: task.package.name }))
    }

    /// The text of a response with a task.
    fn task_text(&self, task: &Task, challenge: Option<&str>) -> String {
        let package = &task.package;
        let optional = |name: &str, value: Option<&str>| value.map(|value| pair(name, value));
        let mut head = vec![pair("session", &task.session)];
        head.extend(optional("challenge", challenge));
        head.push(pair("result-url", &format!("http://{}/?build-result", self.address)));
        head.extend(self.uploads.iter().map(|kind| {
            pair(&format!("{kind}-upload-url"), &format!("http://{}/?upload={kind}", self.address))
        }));
        head.extend(optional("agent-checksum", task.agent_checksum.as_deref()));
        let repository = package.repository.clone().unwrap_or_else(|| self.repository_url());
        let mut body = vec![
            pair("name", &package.name),
            pair("version", &package.version),
            pair("repository-url", &repository),
            pair("repository-type", "pkg"),
        ];
        body.extend(optional("dependency-checksum", task.dependency_checksum.as_deref()));
        body.push(pair("machine", &task.machine));
        body.push(pair("target", &package.target));
        body.extend(package.more.iter().cloned());
        body.extend(optional("worker-checksum", task.worker_checksum.as_deref()));
        pairs::write(true, &head) + &pairs::write(false, &body)
    }

    fn answer_result(&self, request: &Request) -> Answer {
        if request.query() != "build-result" {
            return refuse(400, "unexpected parameters");
        }
        let given = match ResultRequest::parse(&request.body, "result request") {
            Ok(given) => given,
            Err(error) => return refuse(400, &error.to_string()),
        };
        let verify = |challenge: &str, fingerprint: &str| {
            let signature = given.challenge.as_deref().ok_or("the challenge is not answered")?;
            self.verify(fingerprint, challenge, signature)
        };
        let verdict = self.queue().take(&given, &verify);
        let response = match &verdict {
            Verdict::Refused(reason) => Response::refusal(400, reason),
            _ => Response::manifest(""),
        };
        (response, Outcome::Result { session: given.session, verdict })
    }

    fn answer_upload(&self, request: &Request) -> Answer {
        let kind = request.query().strip_prefix("upload=");
        let Some(kind) = kind.filter(|kind| self.uploads.iter().any(|own| own == kind)) else {
            return upload::answer(404, "no such type");
        };
        let artifact = match Artifact::parse(request) {
            Ok(artifact) => artifact,
            Err(reason) => return upload::answer(400, &reason),
        };
        if hex_sha256(&artifact.archive) != artifact.sha256 {
            return upload::answer(422, "checksum mismatch");
        }
        let verify = |challenge: &str, fingerprint: &str| {
            let signature = artifact.signature.as_deref();
            self.verify(fingerprint, challenge, signature.ok_or("the challenge is not answered")?)
        };
        let is_signed = artifact.signature.is_some();
        let receipt = self.queue().receive(&artifact.session, is_signed, &verify);
        let (response, _) = upload::answer(200, &format!("{kind} upload is queued"));
        let Artifact { session, instance, .. } = artifact;
        (response, Outcome::Artifact { session, instance, receipt })
    }

    fn verify(&self, fingerprint: &str, challenge: &str, signature: &[u8]) -> Result<(), String> {
        let key = self.keys.iter().find(|key| key.fingerprint() == fingerprint);
        let key = key.ok_or("the key is not known any more")?;
        match key.verify(challenge, signature) {
            Ok(true) => Ok(()),
            Ok(false) => Err("the signature is of another text".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    fn answer_file(&self, request: &Request) -> Answer {
        let relative = request.path().strip_prefix("/1/stable/").map(Path::new);
        let plain =
            |path: &&Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        let file = self.repository.as_deref().zip(relative.filter(plain));
        match file.and_then(|(folder, path)| std::fs::read(folder.join(path)).ok()) {
            Some(body) => {
                let response =
                    Response { status: 200, content_type: "application/octet-stream", body };
                (response, Outcome::File { found: true })
            }
            None => (Response::refusal(404, "no such file"), Outcome::File { found: false }),
        }
    }
}

fn pair(name: &str, value: &str) -> Pair {
    (name.to_owned(), value.to_owned())
}
