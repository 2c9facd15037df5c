//! Why a request to a controller failed.

use crate::diag::quoted;
use crate::fs::FileError;

/// The most bytes of a response to a request for a task; a task has some kilobytes.
pub(super) const RESPONSE_MAX: u64 = 1 << 20;

/// Why a controller did not answer with what was requested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The request cannot be written.
    #[error("cannot write the request")]
    Request { source: bbot_manifest::Error },
    /// The URL is not one of http or https.
    #[error("{} is not an http URL", quoted(url))]
    Url { url: String },
    /// The environment names a proxy that cannot be used.
    #[error("{} is not a proxy's URL", quoted(proxy))]
    Proxy { proxy: String },
    /// The file to post cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The deadline has passed.
    #[error("no time left")]
    Late,
    /// There is no answer. The error of the HTTP client has no causes.
    #[error("no answer: {error}")]
    NoAnswer { error: ureq::Error },
    /// The controller redirects to a URL to which the request is not sent.
    #[error("HTTP {status}: {reason}")]
    Redirect { status: u16, reason: String },
    /// The status is not one of success; `message` may be empty.
    #[error("HTTP {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Status { status: u16, message: String },
    /// A status of success with a text other than a manifest: not the controller's answer.
    #[error("no manifest, but perhaps the answer of a proxy or a login page: {line}")]
    Foreign { line: String },
    /// The response is malformed; it may contain a task nevertheless.
    #[error("invalid task response")]
    Malformed { source: bbot_manifest::Error, response: Vec<u8> },
    /// The response has more bytes than are read; `response` is its beginning.
    #[error("task response of over {RESPONSE_MAX} bytes")]
    TooLong { response: Vec<u8> },
}
