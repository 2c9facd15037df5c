//! Room for the record of a task and for its answer, reserved before a task is requested (W48).
//!
//! Beside the outbox are two files with room but without content. Each is filled and renamed into
//! its place, which needs neither space nor an inode. What it can need is a block of the folder
//! that gets the name; a third file is removed for that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::FILE_MAX;
use crate::fs::storage::Storage;
use crate::fs::{FileError, if_present};

/// What a record contains comes from one response of a controller, of a mebibyte at most.
const RECORD_SIZE: u64 = 2 << 20;

/// As much as any entry may have.
const ANSWER_SIZE: u64 = FILE_MAX;

/// Some blocks of folders and of other metadata.
const SPARE_SIZE: u64 = 1 << 20;

/// The files with reserved room.
#[derive(Debug)]
pub(super) struct Reserve {
    storage: Arc<dyn Storage>,
    record: PathBuf,
    answer: PathBuf,
    spare: PathBuf,
}

impl Reserve {
    pub(super) fn new(storage: Arc<dyn Storage>, state_dir: &Path) -> Self {
        let [record, answer, spare] =
            ["record.reserved", "answer.reserved", "spare.reserved"].map(|it| state_dir.join(it));
        Self { storage, record, answer, spare }
    }

    /// Reserves what is not reserved yet; afterwards one record and one answer find room.
    pub(super) fn refill(&self) -> Result<(), FileError> {
        let sizes = [RECORD_SIZE, ANSWER_SIZE, SPARE_SIZE];
        let mut is_changed = false;
        for (path, size) in [&self.record, &self.answer, &self.spare].into_iter().zip(sizes) {
            is_changed |= self.storage.reserve(path, 0o600, size)?;
        }
        if is_changed { self.storage.sync_parent(&self.spare) } else { Ok(()) }
    }

    /// Writes the record of a task in place of the one that may be at `path`; its content and its
    /// name are durable.
    pub(super) fn replace_record(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let is_filled = self.with_spare(|| self.fill(&self.record, content))?;
        if !is_filled {
            return self.storage.replace(path, 0o600, content);
        }
        self.with_spare(|| self.storage.rename(&self.record, path))?;
        self.release_rest(path);
        self.storage.sync_parent(path)
    }

    /// Writes an answer with durable content; returns false if there is a file at `path`.
    ///
    /// Its name is durable only after [`Storage::sync_parent`].
    pub(super) fn create_answer(&self, path: &Path, content: &[u8]) -> Result<bool, FileError> {
        let is_filled = self.with_spare(|| self.fill(&self.answer, content))?;
        if !is_filled {
            return self.storage.create(path, 0o600, content);
        }
        match self.with_spare(|| self.storage.rename_new(&self.answer, path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            renamed => renamed?,
        }
        self.release_rest(path);
        Ok(true)
    }

    /// Fills a file; returns false if it is not there, as nothing is reserved.
    fn fill(&self, reserved: &Path, content: &[u8]) -> Result<bool, FileError> {
        match self.storage.fill(reserved, content) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            filled => filled.map(|()| true),
        }
    }

    /// Attempts an operation once more with the spare room if it finds none.
    fn with_spare<T>(&self, operation: impl Fn() -> Result<T, FileError>) -> Result<T, FileError> {
        match operation() {
            Err(error) if error.is_shortage() => {
                if_present(self.storage.remove(&self.spare))?;
                operation()
            }
            done => done,
        }
    }

    /// The content is written: room beyond it is of no use there, and does no harm if it stays.
    fn release_rest(&self, path: &Path) {
        drop(self.storage.trim(path));
    }
}
