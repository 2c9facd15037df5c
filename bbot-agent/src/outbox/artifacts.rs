//! The artifacts of an entry, in a folder beside it (W33).
//!
//! They are stored before the entry, which names them, and an artifact that its controller has
//! accepted, or has refused for good, is removed: those that exist are still to be posted. A folder
//! without an entry is left by a crash, before the entry was created or after it was removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry_id::{EntryId, SUFFIX as ENTRY_SUFFIX};
use crate::fs::storage::Storage;
use crate::fs::{FileError, if_present};

const SUFFIX: &str = ".artifacts";

/// A folder for the artifacts of an entry that is about to be stored; removed when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    storage: Arc<dyn Storage>,
    pub(super) id: EntryId,
    pub(super) folder: PathBuf,
    pub(super) is_stored: bool,
}

impl Reservation {
    /// Creates the folder of `id`; `None` if it exists.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        waiting: &Path,
        id: EntryId,
    ) -> Result<Option<Self>, FileError> {
        let folder = folder(waiting, &id);
        match storage.create_folder(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            created => created.map(|()| Some(Self { storage, id, folder, is_stored: false })),
        }
    }

    /// Returns the path of the artifact number `number` of the entry.
    pub(crate) fn path(&self, number: usize) -> PathBuf {
        file(&self.folder, number)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_stored {
            // What remains is swept by the next start.
            drop(self.storage.remove_folder(&self.folder));
        }
    }
}

/// Returns the folder of an entry's artifacts, beside the entry in `parent`.
pub(super) fn folder(parent: &Path, id: &EntryId) -> PathBuf {
    parent.join(format!("{id}{SUFFIX}"))
}

/// Returns the path of an artifact in its folder.
pub(super) fn file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.tar"))
}

/// Returns the bytes of all files in a folder and in the folders of artifacts in it.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let size = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            metadata => metadata.map(|metadata| metadata.len()),
        };
        sum += match size {
            // It was delivered and removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            size => size?,
        };
    }
    Ok(sum)
}

/// Moves the artifacts of an entry, if it has any, from one folder of entries to another.
pub(super) fn rename(
    storage: &dyn Storage,
    from: &Path,
    to: &Path,
    id: &EntryId,
) -> Result<(), FileError> {
    if_present(storage.rename(&folder(from, id), &folder(to, id)))
}

/// Removes the folders of artifacts that have no entry.
pub(super) fn sweep(storage: &dyn Storage, waiting: &Path) -> Result<(), FileError> {
    let names = storage.list(waiting)?;
    for name in &names {
        let Some(entry) = name.strip_suffix(SUFFIX).map(|id| format!("{id}{ENTRY_SUFFIX}")) else {
            continue;
        };
        if EntryId::from_file_name(&entry).is_some() && !names.contains(&entry) {
            if_present(storage.remove_folder(&waiting.join(name)))?;
        }
    }
    Ok(())
}
