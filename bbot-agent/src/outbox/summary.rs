//! What waits in an outbox, for whoever only looks.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::{DEAD, EntryId, OutboxError, WAITING, io_error};

/// How much there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Summary {
    entries: u64,
    bytes: u64,
    /// When the oldest entry was stored, in seconds since the epoch.
    oldest: Option<u64>,
    dead_letters: u64,
}

/// Looks into the outbox below a state directory; `None` if there is none.
pub(crate) fn summary(state_dir: &Path) -> Result<Option<Summary>, OutboxError> {
    let Some(waiting) = entries(&state_dir.join(WAITING))? else { return Ok(None) };
    let dead = entries(&state_dir.join(DEAD))?.unwrap_or_default();
    let count = |entries: &[_]| u64::try_from(entries.len()).unwrap_or(u64::MAX);
    Ok(Some(Summary {
        entries: count(&waiting),
        bytes: waiting.iter().map(|(_, bytes)| bytes).sum(),
        oldest: waiting.iter().map(|(id, _)| id.stored().as_secs()).min(),
        dead_letters: count(&dead),
    }))
}

/// The entries of a folder and their sizes; `None` if there is no such folder.
fn entries(folder: &Path) -> Result<Option<Vec<(EntryId, u64)>>, OutboxError> {
    let found = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(io_error("list", folder))?,
    };
    let entry = |entry: fs::DirEntry| {
        let id = EntryId::from_file_name(entry.file_name().to_str()?)?;
        // One that has gone meanwhile does not count.
        Some((id, entry.metadata().ok()?.len()))
    };
    Ok(Some(found.flatten().filter_map(entry).collect()))
}
