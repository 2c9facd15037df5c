//! What waits in an outbox, for whoever only looks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use super::artifacts;
use super::store::{DEAD, EntryId, OutboxError, REASON_SUFFIX, WAITING, io_error};

/// The most of a reason that is shown, in bytes.
const REASON_MAX: u64 = 4096;

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Summary {
    entries: usize,
    pub(super) bytes: u64,
    /// When the oldest entry was stored, in seconds since the epoch.
    oldest: Option<u64>,
    waiting: Vec<Letter>,
    dead_letters: Vec<Letter>,
}

/// An entry, or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Letter {
    id: String,
    /// When it was stored, in seconds since the epoch.
    since: u64,
    bytes: u64,
    /// Why it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Looks into the outbox below a state directory; `None` if there is none.
pub(crate) fn summary(state_dir: &Path) -> Result<Option<Summary>, OutboxError> {
    let Some(waiting) = letters(&state_dir.join(WAITING))? else { return Ok(None) };
    Ok(Some(Summary {
        entries: waiting.len(),
        bytes: waiting.iter().map(|letter| letter.bytes).sum(),
        oldest: waiting.first().map(|letter| letter.since),
        waiting,
        dead_letters: letters(&state_dir.join(DEAD))?.unwrap_or_default(),
    }))
}

/// The letters in a folder, the oldest first; `None` if there is no such folder.
fn letters(folder: &Path) -> Result<Option<Vec<Letter>>, OutboxError> {
    let found = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(io_error("list", folder))?,
    };
    let letter = |entry: fs::DirEntry| {
        let id = EntryId::from_file_name(entry.file_name().to_str()?)?;
        // One that has gone meanwhile does not count.
        let bytes = entry.metadata().ok()?.len() + artifacts::size_of(folder, &id);
        let reason = reason(&folder.join(format!("{id}{REASON_SUFFIX}")));
        Some(Letter { since: id.stored().as_secs(), id: id.to_string(), bytes, reason })
    };
    let mut letters: Vec<_> = found.flatten().filter_map(letter).collect();
    letters.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(Some(letters))
}

/// Why a letter is dead; one that waits has no such file.
fn reason(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(REASON_MAX).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).trim_end().to_owned())
}
