//! The task at hand on record: the answer that it gets should this process die (W41).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::Entry;
use super::error::OutboxError;
use super::reserve::Reserve;
use crate::fs::if_present;
use crate::fs::storage::Storage;

/// The file `task-at-hand.manifest`.
#[derive(Debug)]
pub(super) struct Record {
    storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    /// Held while the file is read or changed: a posting thread removes the record of the entry
    /// that it has delivered.
    changing: Mutex<()>,
}

impl Record {
    pub(super) fn new(storage: Arc<dyn Storage>, path: PathBuf) -> Self {
        Self { storage, path, changing: Mutex::new(()) }
    }

    /// Writes the record, durably, in place of an earlier one.
    pub(super) fn write(&self, entry: &Entry, reserve: &Reserve) -> Result<(), OutboxError> {
        let _changing = self.lock();
        Ok(reserve.replace_record(&self.path, &entry.to_text()?)?)
    }

    /// Reads the record; `None` if there is none.
    pub(super) fn read(&self) -> Result<Option<Entry>, OutboxError> {
        Entry::load_if_present(&*self.storage, &self.path)
    }

    /// Removes the record, if there is one.
    pub(super) fn remove(&self) -> Result<(), OutboxError> {
        let _changing = self.lock();
        // Should a power failure undo the removal, the entry that answers it is there as well.
        Ok(if_present(self.storage.remove(&self.path))?)
    }

    /// Makes sure, before an entry is removed, that the record of its task is removed durably: if
    /// the next start found the record, and not the entry, the task would be answered twice.
    ///
    /// `entry` reads the entry; `None` if it is unusable, so that it answers no task.
    pub(super) fn remove_if_answered(
        &self,
        entry: impl FnOnce() -> Result<Option<Entry>, OutboxError>,
    ) -> Result<(), OutboxError> {
        let _changing = self.lock();
        let is_answered = match self.read() {
            Ok(Some(record)) => entry()?.is_some_and(|entry| entry.answers(&record)),
            // None, or one that the next start moves to the dead letters.
            Ok(None) | Err(OutboxError::Unusable { .. }) => false,
            Err(error) => return Err(error),
        };
        if is_answered {
            if_present(self.storage.remove(&self.path))?;
        }
        Ok(self.storage.sync_parent(&self.path)?)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // A panic elsewhere does not affect the file.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
