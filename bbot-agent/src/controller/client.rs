//! Requests to controllers: each is one attempt with a deadline; retries are up to the caller.

use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bbot_manifest::{Lines, Manifest, TaskRequest, TaskResponse};
use ureq::http::{Response, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, Proxy};

pub(crate) use super::answer::PostOutcome;
use super::answer::{self, OwnBody};
use super::connector::connector;
pub(crate) use super::error::ClientError;
use super::error::RESPONSE_MAX;
use super::redirect::{self, Next};
use super::upload::Upload;
use super::{proxy, retry_after};
use crate::cli::BBOT_VERSION;
use crate::config::Timeouts;
use crate::fs::bounded_read;

/// The bytes of an answer to a POST that are read: it is empty, or a manifest of a few lines.
const PAGE_MAX: u64 = 16 << 10;

/// The size from which on the controller is asked whether it takes a content, as curl does (W65).
const LONG: usize = 1 << 20;

/// The status by which a server or a proxy refuses to be asked (RFC 9110, section 10.1.1).
const EXPECTATION_FAILED: u16 = 417;

/// An HTTP client for the requests to controllers.
#[derive(Debug)]
pub(crate) struct Client {
    /// Replaced when its requests are aborted.
    agent: Mutex<Agent>,
    connect: Duration,
    request: Duration,
    /// Looks up an environment variable, for the settings of proxies.
    env: fn(&str) -> Option<String>,
}

/// The content of a POST.
#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Manifest(&'a [u8]),
    Upload(&'a Upload<'a>),
}

impl Content<'_> {
    fn is_long(self) -> bool {
        match self {
            Self::Manifest(text) => text.len() >= LONG,
            Self::Upload(_) => true,
        }
    }
}

impl Client {
    /// Returns a client that uses the environment's proxies and trusts the system's certificates.
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Self {
            agent: Mutex::new(agent()),
            connect: timeouts.connect,
            request: timeouts.request,
            env: |name| std::env::var(name).ok(),
        }
    }

    /// Requests a task. One attempt, which ends by `deadline` (W21).
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
            let (status, message) =
                (response.status().as_u16(), answer::page_line(&page(&mut response).0));
            return Err(ClientError::Status { status, message });
        }
        // The HTTP client's own limit would not return the beginning.
        let body = bounded_read::prefix(response.body_mut().as_reader(), RESPONSE_MAX + 1);
        let body = body.map_err(|error| ClientError::NoAnswer { error: error.into() })?;
        if body.len() as u64 > RESPONSE_MAX {
            return Err(ClientError::TooLong { response: body });
        }
        if !answer::may_be_manifest(&body) {
            return Err(ClientError::Foreign { line: answer::page_line(&body) });
        }
        TaskResponse::parse(&body, url)
            .map_err(|source| ClientError::Malformed { source, response: body })
    }

    /// Posts a result request. One attempt, which ends by `deadline`.
    ///
    /// # Errors
    ///
    /// If the request could not be sent; a failure after that is a [`PostOutcome`].
    pub(crate) fn post_result(
        &self,
        url: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<PostOutcome, ClientError> {
        self.post_content(url, Content::Manifest(body), deadline)
    }

    /// Posts an artifact. One attempt, which ends by `deadline`.
    ///
    /// # Errors
    ///
    /// As for [`Client::post_result`].
    pub(crate) fn post_artifact(
        &self,
        url: &str,
        upload: &Upload<'_>,
        deadline: Instant,
    ) -> Result<PostOutcome, ClientError> {
        self.post_content(url, Content::Upload(upload), deadline)
    }

    fn post_content(
        &self,
        url: &str,
        content: Content<'_>,
        deadline: Instant,
    ) -> Result<PostOutcome, ClientError> {
        let own = match content {
            Content::Manifest(_) => OwnBody::Empty,
            Content::Upload(_) => OwnBody::Manifest,
        };
        let response = self.post(url, content, deadline);
        match response.and_then(|response| post_outcome(own, response)) {
            Err(error @ (ClientError::NoAnswer { .. } | ClientError::Late)) => {
                Ok(PostOutcome::Transient { reason: error.to_string(), retry_after: None })
            }
            Err(ClientError::Redirect { status, reason }) => {
                Ok(PostOutcome::Foreign { status, reason, retry_after: None })
            }
            outcome => outcome,
        }
    }

    /// Makes the requests fail at once that are under way on an established connection. Later
    /// ones are not affected.
    pub(crate) fn abort(&self) {
        let broken = std::mem::replace(&mut *self.lock(), agent());
        broken.shutdown();
    }

    fn lock(&self) -> MutexGuard<'_, Agent> {
        // The agent is replaced in one step, so that a panic leaves a valid one.
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts the content, follows redirections, and returns the response, whatever its status.
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
        let (mut followed, mut expects) = (0, content.is_long());
        loop {
            let response = self.post_once(&agent, &uri, content, expects, deadline)?;
            let status = response.status().as_u16();
            if status == EXPECTATION_FAILED && expects {
                expects = false;
                continue;
            }
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            match redirect::next(status, &uri, location, followed) {
                Next::Answer => return Ok(response),
                Next::Follow(target) => (uri, followed) = (target, followed + 1),
                Next::Refuse(reason) => return Err(ClientError::Redirect { status, reason }),
            }
        }
    }

    fn post_once(
        &self,
        agent: &Agent,
        uri: &Uri,
        content: Content<'_>,
        expects: bool,
        deadline: Instant,
    ) -> Result<Response<Body>, ClientError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ClientError::Late);
        }
        let proxy = proxy::choose(uri, self.env);
        let proxy = proxy.map(usable_proxy).transpose()?;
        let mut request = agent.post(uri);
        if let Some(login) = proxy.as_ref().filter(|_| !is_https(uri)).and_then(proxy_login) {
            request = request.header(header::PROXY_AUTHORIZATION, login);
        }
        if expects {
            // So that the controller can refuse it before it is sent.
            request = request.header(header::EXPECT, "100-continue");
        }
        let request = request
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
            Content::Upload(upload) => request.send(upload.form()?),
        };
        response.map_err(|error| ClientError::NoAnswer { error })
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// Returns the proxy that a variable of the environment names; SOCKS is not supported.
fn usable_proxy(url: String) -> Result<Proxy, ClientError> {
    let proxy = Proxy::new(&url).ok();
    let is_http = |proxy: &Proxy| matches!(proxy.uri().scheme_str(), Some("http" | "https"));
    proxy.filter(is_http).ok_or(ClientError::Proxy { proxy: url })
}

/// Returns what identifies the agent to a proxy that gets the request itself (RFC 7617).
fn proxy_login(proxy: &Proxy) -> Option<String> {
    let (user, password) = (proxy.username(), proxy.password());
    let login = format!("{}:{}", user.unwrap_or_default(), password.unwrap_or_default());
    (user.is_some() || password.is_some()).then(|| format!("Basic {}", STANDARD.encode(login)))
}

/// Returns an HTTP agent with a new connection for each request, so that none fails because an old
/// connection is stale, and without proxies and redirections, which this module decides.
fn agent() -> Agent {
    let config = Agent::config_builder()
        .user_agent(format!("bbot-agent/{BBOT_VERSION} bbot-rs/{}", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .proxy(None)
        .build();
    Agent::with_parts(config.clone(), connector(config), DefaultResolver::default())
}

/// Classifies the response to a result or an artifact (W38, W61).
fn post_outcome(own: OwnBody, mut response: Response<Body>) -> Result<PostOutcome, ClientError> {
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after =
        retry_after.and_then(|value| retry_after::parse(value.to_str().ok()?, SystemTime::now()));
    let (page, end) = page(&mut response);
    let status = response.status();
    if status.is_success() {
        // Whether it is the controller's answer is told by the whole of it.
        end.map_err(|error| ClientError::NoAnswer { error: error.into() })?;
    }
    let status = (status.as_u16(), status.canonical_reason().unwrap_or("no reason given"));
    Ok(answer::classify(own, status, &page, retry_after))
}

/// Reads the beginning of a page; also returns what ended it early.
fn page(response: &mut Response<Body>) -> (Vec<u8>, io::Result<usize>) {
    let mut page = Vec::new();
    let end = response.body_mut().as_reader().take(PAGE_MAX).read_to_end(&mut page);
    (page, end)
}

#[cfg(test)]
mod tests;
