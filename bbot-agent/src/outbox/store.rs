//! The outbox: entries that wait for delivery, the record of the task at hand, dead letters.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::artifacts::{self, Reservation};
use super::dead_letters::DeadLetters;
use super::entry::{Artifact, Entry};
use super::entry_id::{EntryId, EntryIds};
use super::error::OutboxError;
use super::record::Record;
use super::reserve::Reserve;
use crate::fs::storage::{RealStorage, Storage};
use crate::fs::{FileError, if_present};

/// The folder of entries that wait, below the state directory.
pub(super) const WAITING: &str = "outbox";

/// The outbox of one instance.
#[derive(Debug)]
pub(crate) struct Outbox {
    storage: Arc<dyn Storage>,
    state_dir: PathBuf,
    waiting: PathBuf,
    dead_letters: DeadLetters,
    record: Record,
    reserve: Reserve,
    ids: EntryIds,
    /// Whether the folders exist, without what a process that died did not finish.
    is_ready: AtomicBool,
    /// An entry that may exist or not after a power failure.
    uncertain: Mutex<Option<PathBuf>>,
}

impl Outbox {
    /// The outbox below a state directory. It has no entries before [`Outbox::make_ready`].
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self::on(Arc::new(RealStorage), state_dir)
    }

    #[cfg(test)]
    pub(crate) fn open(state_dir: &Path) -> Result<Self, OutboxError> {
        Self::open_on(Arc::new(RealStorage), state_dir)
    }

    #[cfg(test)]
    fn open_on(storage: Arc<dyn Storage>, state_dir: &Path) -> Result<Self, OutboxError> {
        let outbox = Self::on(storage, state_dir);
        outbox.make_ready().map(|()| outbox)
    }

    fn on(storage: Arc<dyn Storage>, state_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            waiting: state_dir.join(WAITING),
            dead_letters: DeadLetters::new(Arc::clone(&storage), state_dir),
            record: Record::new(Arc::clone(&storage), state_dir.join("task-at-hand.manifest")),
            reserve: Reserve::new(Arc::clone(&storage), state_dir),
            ids: EntryIds::default(),
            is_ready: AtomicBool::new(false),
            uncertain: Mutex::default(),
            storage,
        }
    }

    /// Creates what is missing, and removes what a process that died did not finish; again, makes
    /// sure of an entry that may exist or not.
    ///
    /// # Errors
    ///
    /// The state directory cannot be used for now.
    pub(crate) fn make_ready(&self) -> Result<(), OutboxError> {
        if !self.is_ready.load(Ordering::Acquire) {
            for folder in [&self.state_dir, &self.waiting, &self.dead_letters.folder] {
                self.storage.create_folders(folder)?;
                self.storage.sweep(folder)?;
            }
            self.dead_letters.sweep_reasons()?;
            artifacts::sweep(&*self.storage, &self.waiting)?;
            self.is_ready.store(true, Ordering::Release);
        }
        let mut uncertain = self.uncertain();
        if let Some(path) = &*uncertain {
            // What is seen of it now is what a power failure leaves.
            self.storage.sync_parent(path)?;
            *uncertain = None;
        }
        Ok(())
    }

    /// Reserves room for one record and one answer (W48): if it succeeds, a task may be requested.
    pub(crate) fn make_room(&self) -> Result<(), OutboxError> {
        Ok(self.reserve.refill()?)
    }

    /// Makes an entry durable: when this returns, a crash does not lose it.
    ///
    /// # Errors
    ///
    /// The entry is not stored, so that its task can be given another answer. If it can be neither
    /// made durable nor removed, nothing is stored any more: the next start answers the task, from
    /// the entry or the record.
    pub(crate) fn store(&self, entry: &Entry) -> Result<EntryId, OutboxError> {
        let text = entry.to_text()?;
        loop {
            let id = self.ids.next();
            if self.put(&self.path(&id), &text)? {
                return Ok(id);
            }
        }
    }

    /// Creates a folder for the artifacts of an entry.
    pub(crate) fn reserve(&self) -> Result<Reservation, OutboxError> {
        loop {
            let storage = Arc::clone(&self.storage);
            if let Some(reserved) = Reservation::new(storage, &self.waiting, self.ids.next())? {
                return Ok(reserved);
            }
        }
    }

    /// Makes an entry durable whose artifacts are in their folder, synchronised.
    ///
    /// # Errors
    ///
    /// As for [`Outbox::store`].
    pub(crate) fn store_reserved(
        &self,
        mut reservation: Reservation,
        entry: &Entry,
    ) -> Result<EntryId, OutboxError> {
        self.storage.sync_folder(&reservation.folder)?;
        let path = self.path(&reservation.id);
        if !self.put(&path, &entry.to_text()?)? {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(FileError::of("create", &path)(source).into());
        }
        reservation.is_stored = true;
        Ok(reservation.id.clone())
    }

    /// Writes an entry, durably; returns false if there is one at `path`.
    fn put(&self, path: &Path, text: &[u8]) -> Result<bool, OutboxError> {
        if let Some(path) = &*self.uncertain() {
            return Err(OutboxError::Uncertain { path: path.clone() });
        }
        if !self.reserve.create_answer(path, text)? {
            return Ok(false);
        }
        let synced = self.storage.sync_parent(path).inspect_err(|_| self.withdraw(path));
        Ok(synced.map(|()| true)?)
    }

    /// Removes an entry that might not survive a power failure, as its task gets another answer.
    fn withdraw(&self, path: &Path) {
        match self.storage.remove(path) {
            // To synchronise has failed before. With the next entry the removal is synchronised,
            // too; until then the task is on record.
            Ok(()) => drop(self.storage.sync_parent(path)),
            Err(_) => *self.uncertain() = Some(path.to_owned()),
        }
    }

    fn uncertain(&self) -> MutexGuard<'_, Option<PathBuf>> {
        // A panic elsewhere leaves a whole value.
        self.uncertain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the entries that wait, the oldest first.
    pub(crate) fn entries(&self) -> Result<Vec<EntryId>, OutboxError> {
        if !self.is_ready.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        let names = self.storage.list(&self.waiting)?;
        let mut ids: Vec<_> =
            names.iter().filter_map(|name| EntryId::from_file_name(name)).collect();
        if let Some(path) = &*self.uncertain() {
            ids.retain(|id| self.path(id) != *path);
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Returns the size of the entries that wait and of their artifacts, in bytes.
    pub(crate) fn size(&self) -> Result<u64, OutboxError> {
        Ok(artifacts::size(&self.waiting).map_err(FileError::of("list", &self.waiting))?)
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unusable`] if it does not contain what was written: it is to become a dead
    /// letter.
    pub(crate) fn load(&self, id: &EntryId) -> Result<Entry, OutboxError> {
        Entry::load(&*self.storage, &self.path(id))
    }

    /// Removes an entry, which was delivered.
    pub(crate) fn remove(&self, id: &EntryId) -> Result<(), OutboxError> {
        self.record.remove_if_answered(|| self.load_usable(id))?;
        self.storage.remove(&self.path(id))?;
        self.storage.sync_folder(&self.waiting)?;
        // Without its entry the folder is swept by the next start at the latest.
        Ok(if_present(self.storage.remove_folder(&artifacts::folder(&self.waiting, id)))?)
    }

    /// Moves an entry, which no controller will ever accept, to the dead letters.
    pub(crate) fn dead_letter(&self, id: &EntryId, reason: &str) -> Result<(), OutboxError> {
        self.record.remove_if_answered(|| self.load_usable(id))?;
        self.dead_letters.add(&self.path(id), id, reason)
    }

    /// As [`Outbox::load`]; `None` if the entry is unusable or does not exist.
    fn load_usable(&self, id: &EntryId) -> Result<Option<Entry>, OutboxError> {
        match Entry::load_if_present(&*self.storage, &self.path(id)) {
            Err(OutboxError::Unusable { .. }) => Ok(None),
            entry => entry,
        }
    }

    /// Returns the path of an entry.
    pub(crate) fn path(&self, id: &EntryId) -> PathBuf {
        self.waiting.join(id.file_name())
    }

    /// Returns the artifacts of an entry that are still to be posted, with their numbers.
    pub(crate) fn pending<'a>(&self, id: &EntryId, entry: &'a Entry) -> Vec<(usize, &'a Artifact)> {
        // If it cannot be found out, posting it returns the error.
        let exists = |number| !matches!(self.artifact(id, number).try_exists(), Ok(false));
        let artifacts = entry.artifacts.iter().enumerate();
        artifacts.filter(|(number, _)| exists(*number)).collect()
    }

    /// Returns the path of an artifact of an entry.
    pub(crate) fn artifact(&self, id: &EntryId, number: usize) -> PathBuf {
        artifacts::file(&artifacts::folder(&self.waiting, id), number)
    }

    /// Removes an artifact of an entry, which is not to be posted any more.
    pub(crate) fn remove_artifact(&self, id: &EntryId, number: usize) -> Result<(), OutboxError> {
        let path = self.artifact(id, number);
        self.storage.remove(&path)?;
        Ok(self.storage.sync_parent(&path)?)
    }

    /// Makes the answer durable that the task at hand gets if this process dies (W41).
    pub(crate) fn record(&self, entry: &Entry) -> Result<(), OutboxError> {
        self.record.write(entry, &self.reserve)
    }

    /// Removes the record: the task's result is durable.
    pub(crate) fn forget_record(&self) -> Result<(), OutboxError> {
        self.record.remove()
    }

    /// Returns whether an answer to the task of `entry` waits.
    pub(crate) fn has_answer(&self, entry: &Entry) -> Result<bool, OutboxError> {
        for id in self.entries()? {
            if self.load_usable(&id)?.is_some_and(|other| other.answers(entry)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stores the record of a task that a process had at hand when it died as an entry, unless the
    /// task's result is stored (W3). Returns whether an entry was stored.
    ///
    /// A damaged record becomes a dead letter: it cannot be answered.
    pub(crate) fn recover_record(&self) -> Result<bool, OutboxError> {
        let record = match self.record.read() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(false),
            Err(error @ OutboxError::Unusable { .. }) => {
                let reason = error.to_string();
                self.dead_letters.add(&self.record.path, &self.ids.next(), &reason)?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let is_answered = self.has_answer(&record)?;
        if !is_answered {
            self.store(&record)?;
        }
        self.forget_record()?;
        Ok(!is_answered)
    }
}

#[cfg(test)]
mod failing_storage;
#[cfg(test)]
mod full_volume;
#[cfg(test)]
mod tests;
