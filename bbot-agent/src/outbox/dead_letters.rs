//! Dead letters: results that no controller will ever accept, kept for the operator.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::artifacts;
use super::entry_id::{EntryId, SUFFIX};
use super::error::OutboxError;
use crate::fs::disk::Disk;
use crate::fs::durable;

/// The folder below the state directory.
pub(super) const FOLDER: &str = "dead-letters";

/// The suffix of the file that says why an entry is a dead letter.
pub(super) const REASON_SUFFIX: &str = ".reason";

/// The folder of dead letters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
}

impl DeadLetters {
    pub(super) fn new(disk: Arc<dyn Disk>, state_dir: &Path) -> Self {
        Self { disk, folder: state_dir.join(FOLDER) }
    }

    /// Moves the entry at `path` here, with the artifacts beside it, and stores the reason.
    pub(super) fn add(&self, path: &Path, id: &EntryId, reason: &str) -> Result<(), OutboxError> {
        let file = self.folder.join(format!("{id}{REASON_SUFFIX}"));
        durable::replace(&*self.disk, &file, 0o600, format!("{reason}\n").as_bytes())?;
        // Before the entry, as artifacts without one are swept.
        let from = path.parent().unwrap_or(&self.folder);
        artifacts::rename(&*self.disk, from, &self.folder, id)?;
        self.disk.rename(path, &self.folder.join(id.file_name()))?;
        self.disk.sync_folder(&self.folder)?;
        Ok(durable::sync_parent(&*self.disk, path)?)
    }

    /// Removes the reasons of entries that are not there: a crash has kept them from being moved
    /// here, or the operator has moved them back.
    pub(super) fn sweep_reasons(&self) -> Result<(), OutboxError> {
        let names = self.disk.list(&self.folder)?;
        for name in &names {
            let Some(id) = name.strip_suffix(REASON_SUFFIX) else { continue };
            if !names.contains(&format!("{id}{SUFFIX}")) {
                self.disk.remove(&self.folder.join(name))?;
            }
        }
        Ok(())
    }
}
