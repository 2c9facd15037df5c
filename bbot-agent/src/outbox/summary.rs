//! The content of an outbox, for `--dump-status`: read without the instance lock.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::Serialize;

use super::artifacts;
use super::dead_letters::{FOLDER as DEAD_LETTERS, REASON_SUFFIX};
use super::entry_id::EntryId;
use super::error::OutboxError;
use super::store::WAITING;
use crate::fs::{FileError, bounded_read};

/// The most bytes of a reason that are shown.
const REASON_MAX: u64 = 4096;

/// The entries of an outbox and its dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Summary {
    entries: usize,
    pub(super) bytes: u64,
    /// When the oldest entry was stored, in seconds since the epoch.
    oldest: Option<u64>,
    waiting: Vec<EntrySummary>,
    dead_letters: Vec<EntrySummary>,
}

/// An entry, or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct EntrySummary {
    id: String,
    /// When it was stored, in seconds since the epoch.
    since: u64,
    bytes: u64,
    /// Why it is a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Summarizes the outbox below a state directory; `None` if there is none.
pub(crate) fn summary(state_dir: &Path) -> Result<Option<Summary>, OutboxError> {
    let Some(waiting) = entries(&state_dir.join(WAITING))? else { return Ok(None) };
    Ok(Some(Summary {
        entries: waiting.len(),
        bytes: waiting.iter().map(|entry| entry.bytes).sum(),
        oldest: waiting.first().map(|entry| entry.since),
        waiting,
        dead_letters: entries(&state_dir.join(DEAD_LETTERS))?.unwrap_or_default(),
    }))
}

/// Returns the entries in a folder, the oldest first; `None` if there is no such folder.
fn entries(folder: &Path) -> Result<Option<Vec<EntrySummary>>, OutboxError> {
    let found = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(FileError::of("list", folder))?,
    };
    let summary = |entry: fs::DirEntry| {
        let id = EntryId::from_file_name(entry.file_name().to_str()?)?;
        // One that was removed meanwhile is left out, and so is the size of removed artifacts.
        let artifacts = artifacts::size(&artifacts::folder(folder, &id)).unwrap_or_default();
        let bytes = entry.metadata().ok()?.len() + artifacts;
        let reason = reason(&folder.join(format!("{id}{REASON_SUFFIX}")));
        Some(EntrySummary { since: id.stored().as_secs(), id: id.to_string(), bytes, reason })
    };
    let mut entries: Vec<_> = found.flatten().filter_map(summary).collect();
    entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(Some(entries))
}

/// Returns why an entry is a dead letter; one that waits has no such file.
fn reason(path: &Path) -> Option<String> {
    let text = bounded_read::prefix(File::open(path).ok()?, REASON_MAX).ok()?;
    Some(String::from_utf8_lossy(&text).trim_end().to_owned())
}
