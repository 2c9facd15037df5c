//! Files that appear whole: written beside their place, synchronised, and renamed into it.

use std::io;
use std::path::{Path, PathBuf};

use super::FileError;
use super::storage::Storage;

/// The suffix of a file that is being written. A crash leaves it: see `sweep`.
const NEW_SUFFIX: &str = ".new";

impl dyn Storage + '_ {
    /// Creates a file with durable content; returns false if there is one at `path`.
    ///
    /// Its name is durable only after `sync_parent`.
    pub(crate) fn create(&self, path: &Path, mode: u32, content: &[u8]) -> Result<bool, FileError> {
        let new = self.write_beside(path, mode, content, true)?;
        match self.rename_new(&new, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            renamed => renamed.map(|()| true),
        }
    }

    /// Replaces the file that may be at `path`, with durable content.
    ///
    /// Its name is durable only after `sync_parent`.
    pub(crate) fn put(&self, path: &Path, mode: u32, content: &[u8]) -> Result<(), FileError> {
        self.rename(&self.write_beside(path, mode, content, true)?, path)
    }

    /// Replaces the file that may be at `path`; its content and its name are durable.
    pub(crate) fn replace(&self, path: &Path, mode: u32, content: &[u8]) -> Result<(), FileError> {
        self.put(path, mode, content)?;
        self.sync_parent(path)
    }

    /// Replaces the file that may be at `path`, as a whole but without synchronisation: it need not
    /// survive a power failure.
    pub(crate) fn publish(&self, path: &Path, mode: u32, content: &[u8]) -> Result<(), FileError> {
        self.rename(&self.write_beside(path, mode, content, false)?, path)
    }

    fn write_beside(
        &self,
        path: &Path,
        mode: u32,
        content: &[u8],
        sync: bool,
    ) -> Result<PathBuf, FileError> {
        let mut new = path.as_os_str().to_owned();
        new.push(NEW_SUFFIX);
        let new = PathBuf::from(new);
        self.write(&new, mode, content, sync)?;
        Ok(new)
    }

    /// Creates a folder, and those above it, durably: a power failure must not remove it with all
    /// its content.
    pub(crate) fn create_folders(&self, folder: &Path) -> Result<(), FileError> {
        if folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = parent(folder) {
            self.create_folders(parent)?;
        }
        self.create_folder(folder)?;
        self.sync_parent(folder)
    }

    /// Makes the creation, renaming or removal of `path` durable.
    pub(crate) fn sync_parent(&self, path: &Path) -> Result<(), FileError> {
        self.sync_folder(parent(path).unwrap_or_else(|| Path::new(".")))
    }

    /// Removes files from a folder that a crash has left unfinished.
    pub(crate) fn sweep(&self, folder: &Path) -> Result<(), FileError> {
        let names = self.list(folder)?;
        let mut unfinished = names.iter().filter(|name| name.ends_with(NEW_SUFFIX));
        unfinished.try_for_each(|name| self.remove(&folder.join(name)))
    }
}

/// Returns the folder that a path lies in, if the path names it.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}
