//! Puts the answer to one task into the outbox.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bbot_manifest::{ResultManifest, ResultStatus};

use super::assignment::Assignment;
use super::unstored::{Answer, Unstored};
use crate::controller::result_request;
use crate::diag;
use crate::outbox::{Entry, Outbox, OutboxError};

/// Answers one task.
#[derive(Debug)]
pub(crate) struct Reporter<'a> {
    pub(crate) assignment: &'a Assignment,
    /// Where results go; none if nothing is posted (`--fake-request`).
    pub(crate) outbox: Option<Arc<Outbox>>,
    /// Whether the result is printed and not posted (`--dump-result`).
    pub(crate) dump_result: bool,
    /// The key that challenges are made for.
    pub(crate) fingerprint: Option<&'a str>,
}

impl Reporter<'_> {
    /// Records the answer that the task gets if this process dies (W41).
    pub(super) fn record(&self) -> Result<(), OutboxError> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        outbox.record(&self.entry(self.assignment.result(ResultStatus::Interrupt)))
    }

    /// Returns whether a controller would take the result (W32); reports why not.
    pub(super) fn is_acceptable(&self, result: &ResultManifest) -> bool {
        let entry = Entry { challenge: None, ..self.entry(result.clone()) };
        result_request::result_request(&entry, None)
            .map_err(|error| diag::error(format_args!("{:#}", anyhow::Error::new(error))))
            .is_ok()
    }

    /// Makes the result durable in the outbox, with the artifacts in the guest's `upload`, and
    /// returns it.
    ///
    /// # Errors
    ///
    /// [`Unstored`] if it cannot be made durable for now (W49).
    pub(super) fn report(
        &self,
        result: ResultManifest,
        upload: Option<&Path>,
    ) -> anyhow::Result<ResultManifest> {
        let outbox = self.outbox.as_deref().filter(|_| !self.dump_result);
        let Some(outbox) = outbox else { return Ok(result) };
        let start = Instant::now();
        let answer = Answer {
            entry: self.entry(result.clone()),
            upload: upload.map(Path::to_owned),
            upload_urls: self.assignment.task.upload_urls.clone(),
        };
        answer.store(outbox).map_err(|source| Unstored::new(answer, source))?;
        diag::phase("durable", start.elapsed(), &self.assignment.keys());
        Ok(result)
    }

    /// Answers with this status and nothing else.
    pub(super) fn report_bare(&self, status: ResultStatus) -> anyhow::Result<ResultManifest> {
        self.report(self.assignment.result(status), None)
    }

    fn entry(&self, result: ResultManifest) -> Entry {
        let task = &self.assignment.task;
        Entry {
            session: task.session.clone(),
            result_url: task.result_url.clone(),
            challenge: task.challenge.clone(),
            fingerprint: self.fingerprint.map(str::to_owned),
            artifacts: Vec::new(),
            result,
        }
    }
}
