//! One attempt to deliver an entry of the outbox: its artifacts first, then its result.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::artifact_wait;
use super::foreign_answers::ForeignAnswers;
use super::schedule::Failure;
use crate::controller::auth::Signer;
use crate::controller::client::{Client, ClientError, PostOutcome};
use crate::controller::result_request::{self, RequestError};
use crate::controller::upload::Upload;
use crate::diag;
use crate::outbox::{Entry, EntryId, Outbox, OutboxError};

/// What the posting threads work with.
#[derive(Debug, Clone)]
pub(crate) struct PosterContext {
    /// Where the entries are.
    pub(crate) outbox: Arc<Outbox>,
    /// How controllers are reached.
    pub(crate) client: Arc<Client>,
    /// Signs challenges; `None` without `--auth-key`.
    pub(crate) signer: Option<Arc<Signer>>,
    /// How long one POST may take.
    pub(crate) limit: Duration,
    /// How long an entry is kept for its controller.
    pub(crate) lifetime: Duration,
    /// Answers that may not be the controller's (W61).
    pub(crate) foreign_answers: Arc<ForeignAnswers>,
}

/// The report of an attempt to deliver an entry.
#[derive(Debug)]
pub(crate) struct Posted {
    /// The entry.
    pub(crate) entry: EntryId,
    /// Whether its challenge was signed in the attempt.
    pub(crate) signed: bool,
    /// How the attempt ended.
    pub(crate) outcome: DeliveryOutcome,
}

/// How an attempt to deliver an entry ended.
#[derive(Debug)]
pub(crate) enum DeliveryOutcome {
    /// The controller has the result; the entry is removed.
    Delivered,
    /// The entry stays in the outbox.
    Kept {
        /// The error with its causes.
        reason: String,
        /// What it means for the next attempt.
        failure: Failure,
    },
    /// The result will never be accepted: the entry is among the dead letters, for this reason.
    DeadLettered(String),
}

impl PosterContext {
    /// Attempts to deliver an entry; one that is older than `lifetime` afterwards becomes a dead
    /// letter.
    pub(super) fn deliver(&self, id: EntryId) -> Posted {
        let mut signed = false;
        let mut outcome = self.try_deliver(&id, &mut signed).unwrap_or_else(|outcome| outcome);
        if let DeliveryOutcome::Kept { reason, .. } = &outcome
            && id.age(SystemTime::now()) > self.lifetime
        {
            outcome = self.dead_letter(&id, &format!("too old ({reason})"));
        }
        if matches!(outcome, DeliveryOutcome::DeadLettered(_)) {
            self.foreign_answers.forget(&id);
        }
        Posted { entry: id, signed, outcome }
    }

    /// Attempts to deliver an entry, and notes whether its challenge was signed. However this ends,
    /// the result is on disk afterwards or at its controller (I5). An `Err` is an early end.
    fn try_deliver(
        &self,
        id: &EntryId,
        signed: &mut bool,
    ) -> Result<DeliveryOutcome, DeliveryOutcome> {
        let entry = self.outbox.load(id).map_err(|error| match error {
            OutboxError::Unusable { .. } => self.dead_letter(id, &chain(error)),
            error => kept(chain(error), None),
        })?;
        let signature = result_request::signature(&entry, self.signer.as_deref());
        let signature = signature.map_err(|error| match error {
            RequestError::Sign { .. } => {
                DeliveryOutcome::Kept { reason: chain(error), failure: Failure::Unsigned }
            }
            error => kept(chain(error), None),
        })?;
        *signed = signature.is_some();
        self.deliver_artifacts(id, &entry, signature.as_deref())?;
        let body = result_request::result_request(&entry, signature);
        let body = body.map_err(|error| match error {
            RequestError::TooLarge { .. } => self.dead_letter(id, &chain(error)),
            error => kept(chain(error), None),
        })?;
        Ok(self.post_result(id, &entry, &body))
    }

    fn post_result(&self, id: &EntryId, entry: &Entry, body: &[u8]) -> DeliveryOutcome {
        let start = Instant::now();
        let posted = self.client.post_result(&entry.result_url, body, start + self.limit);
        if !matches!(posted, Ok(PostOutcome::Foreign { .. })) {
            self.foreign_answers.forget(id);
        }
        match posted {
            Ok(PostOutcome::Accepted) => {
                diag::phase("posted", start.elapsed(), &[("session", &entry.session)]);
                match self.outbox.remove(id) {
                    Ok(()) => DeliveryOutcome::Delivered,
                    // It will be posted again: the outbox delivers at least once.
                    Err(error) => kept(chain(error), None),
                }
            }
            Ok(PostOutcome::Transient { reason, retry_after }) => kept(reason, retry_after),
            Ok(PostOutcome::Foreign { status, reason, retry_after }) => {
                let answer = format!("{status} {reason}");
                if self.foreign_answers.record(id, &answer, Instant::now()) {
                    return self.refused(id, entry, &format!("{answer} (the same for an hour)"));
                }
                let reason = format!("HTTP {answer} (given up after an hour of this answer)");
                kept(reason, retry_after)
            }
            Ok(PostOutcome::Refused { status, reason }) => {
                self.refused(id, entry, &format!("{status} {reason}"))
            }
            Err(error) => kept(chain(error), None),
        }
    }

    fn refused(&self, id: &EntryId, entry: &Entry, answer: &str) -> DeliveryOutcome {
        self.dead_letter(id, &format!("{} refused it: {answer}", entry.result_url))
    }

    /// Posts the artifacts of an entry that its controller does not have yet (W33). After that the
    /// result is due; an `Err` says why the entry is kept for now instead.
    fn deliver_artifacts(
        &self,
        id: &EntryId,
        entry: &Entry,
        signature: Option<&[u8]>,
    ) -> Result<(), DeliveryOutcome> {
        let challenge = signature.map(|signature| STANDARD.encode(signature));
        for (number, artifact) in self.outbox.pending(id, entry) {
            let archive = self.outbox.artifact(id, number);
            let upload = Upload {
                session: &entry.session,
                challenge: challenge.as_deref(),
                instance: &artifact.instance,
                archive: &archive,
                sha256: &artifact.sha256,
            };
            if let Some(reason) = self.post_artifact(id, &artifact.url, &upload)? {
                let (name, session) = (&artifact.instance, &entry.session);
                diag::error(format_args!("artifact {name} of {session} is not posted: {reason}"));
            }
            // One that cannot be removed is posted again: the outbox delivers at least once.
            let removed = self.outbox.remove_artifact(id, number);
            removed.map_err(|error| kept(chain(error), None))?;
        }
        Ok(())
    }

    /// Posts an artifact. Returns why it will never be accepted, if so.
    fn post_artifact(
        &self,
        id: &EntryId,
        url: &str,
        upload: &Upload<'_>,
    ) -> Result<Option<String>, DeliveryOutcome> {
        let over = "its result has waited long enough";
        let Some(left) = artifact_wait::remaining(id.age(SystemTime::now())) else {
            return Ok(Some(over.to_owned()));
        };
        let start = Instant::now();
        let outcome = self.client.post_artifact(url, upload, start + self.limit.min(left));
        let (reason, retry_after) = match outcome {
            Ok(PostOutcome::Accepted) => {
                let keys = [("session", upload.session), ("instance", upload.instance)];
                diag::phase("artifact", start.elapsed(), &keys);
                return Ok(None);
            }
            Ok(PostOutcome::Refused { status, reason }) => {
                return Ok(Some(format!("{url} refused it: {status} {reason}")));
            }
            Err(error @ ClientError::Url { .. }) => return Ok(Some(chain(error))),
            Ok(PostOutcome::Transient { reason, retry_after }) => (reason, retry_after),
            Ok(PostOutcome::Foreign { status, reason, retry_after }) => {
                (format!("HTTP {status} {reason}"), retry_after)
            }
            Err(error) => (chain(error), None),
        };
        match artifact_wait::remaining(id.age(SystemTime::now())) {
            None => Ok(Some(format!("{over} ({reason})"))),
            Some(remaining) => Err(DeliveryOutcome::Kept {
                reason: format!("artifact {}: {reason}", upload.instance),
                failure: Failure::ArtifactNotAccepted { retry_after, remaining },
            }),
        }
    }

    fn dead_letter(&self, id: &EntryId, reason: &str) -> DeliveryOutcome {
        match self.outbox.dead_letter(id, reason) {
            Ok(()) => DeliveryOutcome::DeadLettered(reason.to_owned()),
            Err(error) => kept(format!("{reason}; {}", chain(error)), None),
        }
    }
}

fn kept(reason: String, retry_after: Option<Duration>) -> DeliveryOutcome {
    DeliveryOutcome::Kept { reason, failure: Failure::NotAccepted { retry_after } }
}

/// Returns the error with its causes, in one line.
fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
