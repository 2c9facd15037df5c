//! Files that appear whole: written beside their place, synchronised, and renamed into it.

use std::io;
use std::path::{Path, PathBuf};

use super::FileError;
use super::storage::Storage;

/// The suffix of a file that is being written. A crash leaves it: see [`sweep`].
const NEW_SUFFIX: &str = ".new";

/// Creates a file with durable content; returns false if there is one at `path`.
///
/// Its name is durable only after [`sync_parent`].
pub(crate) fn create(
    storage: &dyn Storage,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> Result<bool, FileError> {
    let new = write_beside(storage, path, mode, content, true)?;
    match storage.rename_new(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        renamed => renamed.map(|()| true),
    }
}

/// Replaces the file that may be at `path`, with durable content.
///
/// Its name is durable only after [`sync_parent`].
pub(crate) fn write(
    storage: &dyn Storage,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> Result<(), FileError> {
    let new = write_beside(storage, path, mode, content, true)?;
    storage.rename(&new, path)
}

/// Replaces the file that may be at `path`; its content and its name are durable.
pub(crate) fn replace(
    storage: &dyn Storage,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> Result<(), FileError> {
    write(storage, path, mode, content)?;
    sync_parent(storage, path)
}

/// As [`replace`], for a file that need not survive a power failure: nothing is synchronised.
pub(crate) fn replace_volatile(
    storage: &dyn Storage,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> Result<(), FileError> {
    let new = write_beside(storage, path, mode, content, false)?;
    storage.rename(&new, path)
}

fn write_beside(
    storage: &dyn Storage,
    path: &Path,
    mode: u32,
    content: &[u8],
    sync: bool,
) -> Result<PathBuf, FileError> {
    let mut new = path.as_os_str().to_owned();
    new.push(NEW_SUFFIX);
    let new = PathBuf::from(new);
    let mut file = storage.create(&new, mode)?;
    storage.write(&new, &mut file, content)?;
    if sync {
        storage.sync(&new, &file)?;
    }
    Ok(new)
}

/// Creates a folder, and those above it, durably: a power failure must not remove it with all its
/// content.
pub(crate) fn create_folder(storage: &dyn Storage, folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent(folder) {
        create_folder(storage, parent)?;
    }
    storage.create_folder(folder)?;
    sync_parent(storage, folder)
}

/// Makes the creation, renaming or removal of `path` durable.
pub(crate) fn sync_parent(storage: &dyn Storage, path: &Path) -> Result<(), FileError> {
    storage.sync_folder(parent(path).unwrap_or_else(|| Path::new(".")))
}

/// Returns the folder that a path lies in, if the path names it.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

/// Removes files from a folder that a crash has left unfinished.
pub(crate) fn sweep(storage: &dyn Storage, folder: &Path) -> Result<(), FileError> {
    let names = storage.list(folder)?;
    let unfinished = names.iter().filter(|name| name.ends_with(NEW_SUFFIX));
    unfinished.into_iter().try_for_each(|name| storage.remove(&folder.join(name)))
}
