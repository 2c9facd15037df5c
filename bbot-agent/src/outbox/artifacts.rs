//! The artifacts of an entry, in a folder beside it (W33).
//!
//! They are there before the entry, which names them, and an artifact that its controller has, or
//! has refused for good, is removed: what is there is what is still to be posted. A folder without
//! an entry is what a crash has left, before the entry was made or after it was removed.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::entry::{Artifact, Entry};
use super::store::{EntryId, Outbox, OutboxError, file_names, io_error, sync_folder};

const SUFFIX: &str = ".artifacts";

/// A folder for the artifacts of an entry that is about to be stored; gone when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    id: EntryId,
    folder: PathBuf,
    is_stored: bool,
}

impl Reservation {
    /// Returns where the artifact number `number` of the entry goes.
    pub(crate) fn path(&self, number: usize) -> PathBuf {
        path(&self.folder, number)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_stored {
            // What stays is swept by the next start.
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.tar"))
}

impl Outbox {
    /// Makes room for the artifacts of an entry.
    pub(crate) fn reserve(&self) -> Result<Reservation, OutboxError> {
        loop {
            let id = self.next_id();
            let folder = self.artifacts(&id);
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Reservation { id, folder, is_stored: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create", &folder)(error)),
            }
        }
    }

    /// Makes an entry durable whose artifacts are in their place, synchronised.
    ///
    /// # Errors
    ///
    /// As for [`Outbox::store`].
    pub(crate) fn store_reserved(
        &self,
        mut reservation: Reservation,
        entry: &Entry,
    ) -> Result<EntryId, OutboxError> {
        sync_folder(&reservation.folder)?;
        let path = self.path(&reservation.id);
        if !self.put(&path, &entry.to_text()?)? {
            let source = io::ErrorKind::AlreadyExists.into();
            return Err(OutboxError::Io { operation: "create", path, source });
        }
        reservation.is_stored = true;
        Ok(reservation.id.clone())
    }

    /// Returns the artifacts of an entry that are still to be posted, with their numbers.
    pub(crate) fn pending<'a>(&self, id: &EntryId, entry: &'a Entry) -> Vec<(usize, &'a Artifact)> {
        // Should a file resist being looked at, posting it says why.
        let is_there = |number| !matches!(self.artifact(id, number).try_exists(), Ok(false));
        let artifacts = entry.artifacts.iter().enumerate();
        artifacts.filter(|(number, _)| is_there(*number)).collect()
    }

    /// Returns where an artifact of an entry is.
    pub(crate) fn artifact(&self, id: &EntryId, number: usize) -> PathBuf {
        path(&self.artifacts(id), number)
    }

    /// Removes an artifact of an entry, which is not to be posted any more.
    pub(crate) fn remove_artifact(&self, id: &EntryId, number: usize) -> Result<(), OutboxError> {
        let path = self.artifact(id, number);
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
        sync_folder(&self.artifacts(id))
    }

    pub(super) fn artifacts(&self, id: &EntryId) -> PathBuf {
        self.waiting.join(format!("{id}{SUFFIX}"))
    }
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
            // Its controller has it by now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            size => size?,
        };
    }
    Ok(sum)
}

/// Returns the bytes of the artifacts beside an entry in `folder`, as far as they can be seen.
pub(super) fn size_of(folder: &Path, id: &EntryId) -> u64 {
    size(&folder.join(format!("{id}{SUFFIX}"))).unwrap_or_default()
}

/// Removes a folder of artifacts, if it is there.
pub(super) fn remove(folder: &Path) -> Result<(), OutboxError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Moves a folder of artifacts, if it is there, into another folder.
pub(super) fn rename(folder: &Path, target: &Path) -> Result<(), OutboxError> {
    let Some(name) = folder.file_name() else { return Ok(()) };
    match fs::rename(folder, target.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("move", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the folders of artifacts that have no entry.
pub(super) fn sweep(waiting: &Path) -> Result<(), OutboxError> {
    let names = file_names(waiting)?;
    for name in &names {
        let Some(id) = name.strip_suffix(SUFFIX) else { continue };
        let Some(id) = EntryId::from_file_name(&format!("{id}{}", super::store::SUFFIX)) else {
            continue;
        };
        if !names.contains(&id.file_name()) {
            remove(&waiting.join(name))?;
        }
    }
    Ok(())
}
