//! Dead letters: results that no controller will ever accept, kept for the operator.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::artifacts;
use super::entry_id::{EntryId, SUFFIX};
use super::error::OutboxError;
use crate::fs::storage::Storage;

/// The folder below the state directory.
pub(super) const FOLDER: &str = "dead-letters";

/// The suffix of the file that says why an entry is a dead letter.
pub(super) const REASON_SUFFIX: &str = ".reason";

/// The folder of dead letters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    storage: Arc<dyn Storage>,
    pub(super) folder: PathBuf,
}

impl DeadLetters {
    pub(super) fn new(storage: Arc<dyn Storage>, state_dir: &Path) -> Self {
        Self { storage, folder: state_dir.join(FOLDER) }
    }

    /// Moves the entry at `path` here, with the artifacts beside it, and stores the reason.
    pub(super) fn add(&self, path: &Path, id: &EntryId, reason: &str) -> Result<(), OutboxError> {
        let file = self.folder.join(format!("{id}{REASON_SUFFIX}"));
        self.storage.replace(&file, 0o600, format!("{reason}\n").as_bytes())?;
        // Before the entry, as artifacts without one are swept.
        let from = path.parent().unwrap_or(&self.folder);
        artifacts::rename(&*self.storage, from, &self.folder, id)?;
        self.storage.rename(path, &self.folder.join(id.file_name()))?;
        self.storage.sync_folder(&self.folder)?;
        Ok(self.storage.sync_parent(path)?)
    }

    /// Removes the reasons of entries that are not there: a crash has kept them from being moved
    /// here, or the operator has moved them back.
    pub(super) fn sweep_reasons(&self) -> Result<(), OutboxError> {
        let names = self.storage.list(&self.folder)?;
        for name in &names {
            let Some(id) = name.strip_suffix(REASON_SUFFIX) else { continue };
            if !names.contains(&format!("{id}{SUFFIX}")) {
                self.storage.remove(&self.folder.join(name))?;
            }
        }
        Ok(())
    }
}
