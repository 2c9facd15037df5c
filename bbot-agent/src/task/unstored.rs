//! Answers that could not be made durable yet (W49).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::artifacts;
use crate::diag;
use crate::guest::tftp_folder::TftpFolder;
use crate::outbox::{Entry, Outbox, OutboxError};

/// How long an answer waits for room for its artifacts, as it waits for their controller (W33).
const ARTIFACTS_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The answer to a task.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) entry: Entry,
    /// What the guest has uploaded beside its result, if it has.
    pub(super) upload: Option<PathBuf>,
    /// Where artifacts are posted, by their type.
    pub(super) upload_urls: BTreeMap<String, String>,
}

impl Answer {
    /// Makes the answer durable, with its artifacts.
    pub(super) fn store(&self, outbox: &Outbox) -> anyhow::Result<()> {
        artifacts::store(outbox, self.entry.clone(), self.upload.as_deref(), &self.upload_urls)?;
        // The record is obsolete now. One that stays does no harm, as recovery looks for the result
        // first.
        if let Err(error) = outbox.forget_record() {
            diag::warn(format_args!("{:#}", anyhow::Error::new(error)));
        }
        Ok(())
    }
}

/// An answer cannot be made durable for now: it is stored when that is possible, and until then no
/// task is requested.
#[derive(Debug, thiserror::Error)]
#[error("cannot store the answer to {}", answer.entry.session)]
pub(crate) struct Unstored {
    answer: Answer,
    /// Keeps what the guest has uploaded where it is.
    folder: Option<TftpFolder>,
    since: Instant,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unstored {
    pub(super) fn new(answer: Answer, source: anyhow::Error) -> Self {
        Self { answer, folder: None, since: Instant::now(), source: source.into() }
    }

    /// An answer without artifacts.
    pub(crate) fn plain(entry: Entry, source: OutboxError) -> Self {
        let answer = Answer { entry, upload: None, upload_urls: BTreeMap::new() };
        Self::new(answer, source.into())
    }

    /// Keeps the folder with the upload, if this is the error.
    pub(super) fn keep(mut error: anyhow::Error, folder: TftpFolder) -> anyhow::Error {
        if let Some(unstored) = error.downcast_mut::<Self>() {
            unstored.folder = Some(folder);
        }
        error
    }

    /// Attempts again to make the answer durable.
    pub(crate) fn store(&mut self, outbox: &Outbox) -> anyhow::Result<()> {
        // W41: the first attempt may have left one that has turned out to be durable.
        if outbox.has_answer(&self.answer.entry)? {
            return Ok(outbox.forget_record()?);
        }
        let stored = self.answer.store(outbox);
        let is_over = self.answer.upload.is_some() && self.since.elapsed() >= ARTIFACTS_LIMIT;
        match stored {
            Err(error) if is_over => {
                let session = &self.answer.entry.session;
                diag::error(format_args!("artifacts of {session} are not posted: {error:#}"));
                self.answer.upload = None;
                self.answer.store(outbox)
            }
            stored => stored,
        }
    }
}
