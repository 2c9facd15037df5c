//! What came and what went: everything, byte for byte, with its time.

use super::http::{Request, Response};
use super::queue::{Receipt, Verdict};
use crate::clock::Nanos;

/// What an exchange came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to build for who asked.
    NoTask,
    /// A task went out.
    Task {
        /// The session that it began.
        session: String,
        /// The package's name.
        package: String,
    },
    /// A result came in.
    Result {
        /// The session that it names.
        session: String,
        /// What became of it.
        verdict: Verdict,
    },
    /// An artifact came in.
    Artifact {
        /// The session that it names.
        session: String,
        /// Its instance.
        instance: String,
        /// What became of it.
        receipt: Receipt,
    },
    /// A file of the package repository went out, or there is none.
    File {
        /// Whether there is one.
        found: bool,
    },
    /// The controller misbehaved.
    Mischief,
    /// The request was refused before its contents mattered.
    Refused,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// When the whole request was here.
    pub received_at: Nanos,
    /// When the answer began to be sent.
    pub answered_at: Nanos,
    /// The request.
    pub request: Request,
    /// The answer.
    pub response: Response,
    /// What it came to.
    pub outcome: Outcome,
}
