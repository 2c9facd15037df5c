//! How a controller answers.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use bbot_manifest::protocol::InteractiveMode;
use bbot_manifest::{Manifest, ResultRequest, TaskRequest};

use super::auth::{KnownKey, challenge, hex_sha256};
use super::exchange::{Answer, Exchange, Outcome};
use super::fault::{Fault, FaultInjection};
use super::http::Handler;
use super::message::{Request, Response};
use super::pairs::{self, pair};
use super::queue::{Package, Queue, Requester, Task, Verdict};
use super::upload::{self, Artifact};
use crate::harness::clock;
use crate::harness::event_log::EventLog;

/// The size limit of a task request, in bytes.
const TASK_REQUEST_MAX: u64 = 100 << 10;
/// The size limit of a result, in bytes.
const RESULT_REQUEST_MAX: u64 = 10 << 20;
/// The size limit of an artifact, in bytes.
const UPLOAD_MAX: u64 = 128 << 20;

/// The configuration of a controller.
#[derive(Debug, Clone, Default)]
pub struct ControllerConfig {
    /// The packages to be built.
    pub packages: Vec<Package>,
    /// The keys of the agents that it knows; without any it does not authenticate agents.
    pub keys: Vec<KnownKey>,
    /// The folder of the package repository.
    pub repository: Option<PathBuf>,
    /// The types of artifacts that it accepts.
    pub uploads: Vec<String>,
    /// Whether building is not configured: each request for a task is refused.
    pub closed: bool,
}

/// The state that the connections share.
#[derive(Debug)]
pub(super) struct Service {
    address: SocketAddr,
    keys: Vec<KnownKey>,
    repository: Option<PathBuf>,
    uploads: Vec<String>,
    closed: bool,
    queue: Mutex<Queue>,
    faults: Mutex<FaultInjection>,
    pub(super) log: EventLog<Exchange>,
}

fn refuse(status: u16, reason: &str) -> Answer {
    (Response::refusal(status, reason), Outcome::Refused)
}

impl Handler for Service {
    fn body_limit(&self, head: &Request) -> u64 {
        match first_parameter(head) {
            "build-result" => RESULT_REQUEST_MAX,
            "upload" => UPLOAD_MAX,
            _ => TASK_REQUEST_MAX,
        }
    }

    fn answer(&self, request: Request) -> Response {
        let received_at = clock::now();
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
        self.record(clock::now(), head, &response, outcome);
        response
    }

    fn fault(&self, request: &Request) -> Option<Fault> {
        let fault = self.faults().fault(request)?;
        let (now, response) = (clock::now(), fault.response());
        self.record(now, request.clone(), &response, Outcome::Fault);
        Some(fault)
    }
}

/// The name of the first query parameter, which selects the service.
fn first_parameter(request: &Request) -> &str {
    let first = request.query().split('&').next().unwrap_or_default();
    first.split('=').next().unwrap_or_default()
}

impl Service {
    pub(super) fn new(address: SocketAddr, config: ControllerConfig) -> Service {
        let mut queue = Queue::default();
        config.packages.into_iter().for_each(|package| queue.add(package));
        Service {
            address,
            keys: config.keys,
            repository: config.repository,
            uploads: config.uploads,
            closed: config.closed,
            queue: Mutex::new(queue),
            faults: Mutex::default(),
            log: EventLog::default(),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, FaultInjection> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn repository_url(&self) -> String {
        format!("http://{}/1/stable", self.address)
    }

    fn record(&self, received_at: u64, request: Request, response: &Response, outcome: Outcome) {
        let response = response.clone();
        let answered_at = clock::now();
        self.log.push(Exchange { received_at, answered_at, request, response, outcome });
    }

    fn answer_task(&self, request: &Request) -> Answer {
        if self.closed {
            return refuse(501, "building is not configured");
        }
        let task_request = match TaskRequest::parse(&request.body, "task request") {
            Ok(task_request) => task_request,
            Err(error) => return refuse(400, &error.to_string()),
        };
        if task_request.machines.is_empty() {
            return refuse(400, "no machines");
        }
        let interactive = task_request.interactive_mode.unwrap_or(InteractiveMode::False);
        if interactive != InteractiveMode::False && task_request.interactive_login.is_none() {
            return refuse(400, "interactive mode without a login");
        }
        if !self.keys.is_empty() && !self.knows(task_request.fingerprint.as_deref()) {
            return refuse(401, "authentication is required");
        }
        match self.assign(&task_request) {
            Ok(answer) => answer,
            Err(error) => refuse(500, &format!("{error:#}")),
        }
    }

    fn knows(&self, fingerprint: Option<&str>) -> bool {
        self.keys.iter().any(|key| Some(key.fingerprint()) == fingerprint)
    }

    fn assign(&self, request: &TaskRequest) -> Result<Answer> {
        // A controller without keys gives no challenge, also to an agent that names its key.
        let fingerprint = request.fingerprint.clone().filter(|_| !self.keys.is_empty());
        let challenge = fingerprint.as_ref().map(|_| challenge()).transpose()?;
        let requester = Requester {
            toolchain_name: request.toolchain_name.clone(),
            toolchain_version: request.toolchain_version.to_string(),
            fingerprint,
        };
        let machines: Vec<_> =
            request.machines.iter().map(|header| header.name.to_string()).collect();
        let now = clock::now();
        let Some(task) = self.queue().assign(&requester, &machines, challenge.as_deref(), now)
        else {
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
        let posted = match ResultRequest::parse(&request.body, "result request") {
            Ok(posted) => posted,
            Err(error) => return refuse(400, &error.to_string()),
        };
        let verify = |challenge: &str, fingerprint: &str| {
            let signature = posted.challenge.as_deref().ok_or("the challenge is not answered")?;
            self.verify(fingerprint, challenge, signature)
        };
        let verdict = self.queue().store(&posted, &verify);
        let response = match &verdict {
            Verdict::Refused(reason) => Response::refusal(400, reason),
            _ => Response::manifest(""),
        };
        (response, Outcome::Result { session: posted.session, verdict })
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
