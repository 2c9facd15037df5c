//! Requests to controllers: each one attempt with a deadline; retries are their callers' matter.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use bbot_manifest::{Lines, Manifest, TaskRequest, TaskResponse};
use ureq::http::{Response, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use super::redirect::{self, Next};
use super::upload::Upload;
use super::{proxy, retry_after};
use crate::cli::{BBOT_VERSION, quoted};
use crate::config::Timeouts;

/// The most that a response may have; a task is some kilobytes.
const RESPONSE_MAX: u64 = 1 << 20;

/// How much of an error page is read for its first line.
const PAGE_MAX: u64 = 4 << 10;

/// Talks to controllers.
#[derive(Debug)]
pub(crate) struct Client {
    /// Replaced when its requests are aborted.
    agent: Mutex<Agent>,
    connect: Duration,
    request: Duration,
    /// Where settings of proxies are looked up.
    env: fn(&str) -> Option<String>,
}

/// What is posted.
#[derive(Clone, Copy)]
enum Content<'a> {
    Manifest(&'a [u8]),
    Upload(&'a Upload<'a>),
}

/// What became of a posted result or artifact (W33, W38).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PostOutcome {
    /// The controller has it.
    Accepted,
    /// It may be taken later, at the earliest after `retry_after`.
    Transient { reason: String, retry_after: Option<Duration> },
    /// The controller never will take it; the reason does not repeat the status.
    Refused { status: u16, reason: String },
}

/// Why a controller did not answer with what was asked for.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// The request cannot be written.
    Request { source: bbot_manifest::Error },
    /// This is no URL to post to.
    Url { url: String },
    /// The environment names a proxy that cannot be used.
    Proxy { proxy: String },
    /// The file to post cannot be read.
    File { path: PathBuf, source: io::Error },
    /// The time is up.
    Late,
    /// There is no answer.
    NoAnswer { source: ureq::Error },
    /// The controller is elsewhere, where the request does not go.
    Redirect { status: u16, reason: String },
    /// The controller says no.
    Status { status: u16, message: String },
    /// The controller does not make sense in what it says, which may be a task nevertheless.
    Malformed { source: bbot_manifest::Error, response: Vec<u8> },
    /// The controller says more than is read; this is the beginning.
    TooLong { response: Vec<u8> },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { .. } => f.write_str("cannot write the request"),
            Self::Url { url } => write!(f, "{} is not an http URL", quoted(url)),
            Self::Proxy { proxy } => write!(f, "{} is not a proxy's URL", quoted(proxy)),
            Self::File { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::Late => f.write_str("no time left"),
            Self::NoAnswer { source } => write!(f, "no answer: {source}"),
            Self::Redirect { status, reason } => write!(f, "HTTP {status}: {reason}"),
            Self::Status { status, message } if message.is_empty() => write!(f, "HTTP {status}"),
            Self::Status { status, message } => write!(f, "HTTP {status}: {message}"),
            Self::Malformed { .. } => f.write_str("invalid task response"),
            Self::TooLong { .. } => write!(f, "task response of over {RESPONSE_MAX} bytes"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Request { source } | Self::Malformed { source, .. } => Some(source),
            Self::File { source, .. } => Some(source),
            // The others are complete; ureq's error is part of our text, it has no causes.
            _ => None,
        }
    }
}

impl Client {
    /// Makes a client that goes through the environment's proxies and trusts the system's
    /// certificates.
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Self {
            agent: Mutex::new(agent()),
            connect: timeouts.connect,
            request: timeouts.request,
            env: |name| std::env::var(name).ok(),
        }
    }

    /// Asks for a task. One attempt, done by `deadline` (W21).
    pub(crate) fn request_task(
        &self,
        url: &str,
        request: &TaskRequest,
        deadline: Instant,
    ) -> Result<TaskResponse, ClientError> {
        let text =
            request.to_text(Lines::Wrapped).map_err(|source| ClientError::Request { source })?;
        let mut response = self.post(url, Content::Manifest(text.as_bytes()), deadline)?;
        if !response.status().is_success() {
            let (status, message) = (response.status().as_u16(), page_line(&mut response));
            return Err(ClientError::Status { status, message });
        }
        let mut body = Vec::new();
        // The client's own limit would not give us the beginning.
        let read = response.body_mut().as_reader().take(RESPONSE_MAX + 1).read_to_end(&mut body);
        read.map_err(|error| ClientError::NoAnswer { source: error.into() })?;
        if body.len() as u64 > RESPONSE_MAX {
            return Err(ClientError::TooLong { response: body });
        }
        TaskResponse::parse(&body, url)
            .map_err(|source| ClientError::Malformed { source, response: body })
    }

    /// Posts a result request. One attempt, done by `deadline`.
    ///
    /// # Errors
    ///
    /// Only that nothing could be tried; what went wrong in trying is a [`PostOutcome`].
    pub(crate) fn post_result(
        &self,
        url: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<PostOutcome, ClientError> {
        self.deliver(url, Content::Manifest(body), deadline)
    }

    /// Posts an artifact. One attempt, done by `deadline`.
    ///
    /// # Errors
    ///
    /// As of [`Client::post_result`].
    pub(crate) fn post_artifact(
        &self,
        url: &str,
        upload: &Upload<'_>,
        deadline: Instant,
    ) -> Result<PostOutcome, ClientError> {
        self.deliver(url, Content::Upload(upload), deadline)
    }

    fn deliver(
        &self,
        url: &str,
        content: Content<'_>,
        deadline: Instant,
    ) -> Result<PostOutcome, ClientError> {
        match self.post(url, content, deadline) {
            Ok(mut response) => Ok(delivery(&mut response)),
            Err(error @ (ClientError::NoAnswer { .. } | ClientError::Late)) => {
                Ok(PostOutcome::Transient { reason: error.to_string(), retry_after: None })
            }
            Err(ClientError::Redirect { status, reason }) => {
                Ok(PostOutcome::Refused { status, reason })
            }
            Err(error) => Err(error),
        }
    }

    /// Breaks the requests that are under way, whose connections are made: they fail at once.
    /// Later ones are not concerned.
    pub(crate) fn abort(&self) {
        let broken = std::mem::replace(&mut *self.lock(), agent());
        broken.shutdown();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Agent> {
        // Replacing the agent cannot panic half-way.
        self.agent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Posts something and returns the answer, whatever its status, following redirections.
    fn post(
        &self,
        url: &str,
        content: Content<'_>,
        deadline: Instant,
    ) -> Result<Response<Body>, ClientError> {
        let deadline = deadline.min(Instant::now() + self.request);
        let agent = self.lock().clone();
        let bad_url = || ClientError::Url { url: url.to_owned() };
        let mut uri: Uri = url.parse().map_err(|_| bad_url())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad_url());
        }
        for followed in 0.. {
            let response = self.post_once(&agent, &uri, content, deadline)?;
            let status = response.status().as_u16();
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            match redirect::next(status, &uri, location, followed) {
                Next::Answer => return Ok(response),
                Next::Follow(target) => uri = target,
                Next::Refuse(reason) => return Err(ClientError::Redirect { status, reason }),
            }
        }
        unreachable!("redirections are counted")
    }

    fn post_once(
        &self,
        agent: &Agent,
        uri: &Uri,
        content: Content<'_>,
        deadline: Instant,
    ) -> Result<Response<Body>, ClientError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ClientError::Late);
        }
        let proxy = proxy::choose(uri, self.env);
        let proxy = proxy
            .map(|proxy| Proxy::new(&proxy).map_err(|_| ClientError::Proxy { proxy }))
            .transpose()?;
        let request = agent
            .post(uri)
            .config()
            .proxy(proxy)
            .timeout_resolve(Some(self.connect.min(left)))
            .timeout_connect(Some(self.connect.min(left)))
            .timeout_global(Some(left))
            .build();
        let response = match content {
            Content::Manifest(text) => {
                request.header(header::CONTENT_TYPE, "text/manifest").send(text)
            }
            Content::Upload(upload) => {
                // Who does not want it can say so before it is sent.
                request.header(header::EXPECT, "100-continue").send(upload.form()?)
            }
        };
        response.map_err(|source| ClientError::NoAnswer { source })
    }
}

/// An agent without memory: each request has its own connection, so that none fails because an old
/// one has gone stale, and proxies and redirections are ours to decide.
fn agent() -> Agent {
    Agent::config_builder()
        .user_agent(format!("bbot-agent/{BBOT_VERSION} bbot-rs/{}", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .proxy(None)
        .build()
        .into()
}

/// Classifies the answer to a result (W38).
fn delivery(response: &mut Response<Body>) -> PostOutcome {
    let status = response.status().as_u16();
    if response.status().is_success() {
        return PostOutcome::Accepted;
    }
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after =
        retry_after.and_then(|value| retry_after::parse(value.to_str().ok()?, SystemTime::now()));
    let message = page_line(response);
    if matches!(status, 408 | 429 | 500..) {
        let reason = ClientError::Status { status, message }.to_string();
        return PostOutcome::Transient { reason, retry_after };
    }
    let name = || response.status().canonical_reason().unwrap_or("no reason given").to_owned();
    let reason = Some(message).filter(|message| !message.is_empty()).unwrap_or_else(name);
    PostOutcome::Refused { status, reason }
}

/// The first line of an error page, or the message of a manifest, as far as it can be had: what
/// controllers say is there.
fn page_line(response: &mut Response<Body>) -> String {
    let mut page = Vec::new();
    // A page that breaks off says something nevertheless.
    drop(response.body_mut().as_reader().take(PAGE_MAX).read_to_end(&mut page));
    let text = String::from_utf8_lossy(&page);
    let mut lines = text.lines().map(str::trim);
    let line = match lines.find(|line| !line.is_empty()) {
        Some(": 1") => lines.find_map(|line| line.strip_prefix("message:")).map(str::trim),
        line => line,
    };
    let line = line.unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
