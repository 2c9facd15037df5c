//! Requests and their answers, byte for byte, with their times.

use super::message::{Request, Response};
use super::queue::{Receipt, Verdict};
use crate::harness::clock::Nanos;

/// The effect of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There was no task for the requesting agent.
    NoTask,
    /// A task was assigned.
    Task {
        /// Its new session.
        session: String,
        /// The package's name.
        package: String,
    },
    /// A result was posted.
    Result {
        /// The session that it names.
        session: String,
        /// What the controller did with it.
        verdict: Verdict,
    },
    /// An artifact was uploaded.
    Artifact {
        /// The session that it names.
        session: String,
        /// Its instance.
        instance: String,
        /// What the controller did with it.
        receipt: Receipt,
    },
    /// A file of the package repository was requested.
    File {
        /// Whether it exists.
        found: bool,
    },
    /// The controller failed on purpose; see [`super::Fault`].
    Fault,
    /// The request was malformed, unauthenticated or not allowed.
    Refused,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// When the whole request had been received.
    pub received_at: Nanos,
    /// When sending the answer began.
    pub answered_at: Nanos,
    /// The request.
    pub request: Request,
    /// The answer.
    pub response: Response,
    /// The effect.
    pub outcome: Outcome,
}

/// The answer to a request, and the request's effect.
pub(super) type Answer = (Response, Outcome);
