//! Files that appear whole: written beside their place, synchronised, and renamed into it.

use std::io;
use std::path::{Path, PathBuf};

use super::FileError;
use super::disk::Disk;

/// The suffix of a file that is being written. A crash leaves it: see [`sweep`].
const NEW_SUFFIX: &str = ".new";

/// Creates a file with durable content; returns false if there is one at `path`.
///
/// Its name is durable only after [`sync_parent`].
pub(crate) fn create(
    disk: &dyn Disk,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> Result<bool, FileError> {
    let new = write_beside(disk, path, mode, content, true)?;
    match disk.rename_new(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        renamed => renamed.map(|()| true),
    }
}

/// Replaces the file that may be at `path`; its content and its name are durable.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> Result<(), FileError> {
    let new = write_beside(disk, path, mode, content, true)?;
    disk.rename(&new, path)?;
    sync_parent(disk, path)
}

/// As [`replace`], for a file that need not survive a power failure: nothing is synchronised.
pub(crate) fn replace_volatile(
    disk: &dyn Disk,
    path: &Path,
    mode: u32,
    content: &[u8],
) -> Result<(), FileError> {
    let new = write_beside(disk, path, mode, content, false)?;
    disk.rename(&new, path)
}

fn write_beside(
    disk: &dyn Disk,
    path: &Path,
    mode: u32,
    content: &[u8],
    sync: bool,
) -> Result<PathBuf, FileError> {
    let mut new = path.as_os_str().to_owned();
    new.push(NEW_SUFFIX);
    let new = PathBuf::from(new);
    let mut file = disk.create(&new, mode)?;
    disk.write(&new, &mut file, content)?;
    if sync {
        disk.sync(&new, &file)?;
    }
    Ok(new)
}

/// Creates a folder, and those above it, durably: a power failure must not remove it with all its
/// content.
pub(crate) fn create_folder(disk: &dyn Disk, folder: &Path) -> Result<(), FileError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent(folder) {
        create_folder(disk, parent)?;
    }
    disk.create_folder(folder)?;
    sync_parent(disk, folder)
}

/// Makes the creation, renaming or removal of `path` durable.
pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<(), FileError> {
    disk.sync_folder(parent(path).unwrap_or_else(|| Path::new(".")))
}

/// Returns the folder that a path lies in, if the path names it.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

/// Removes files from a folder that a crash has left unfinished.
pub(crate) fn sweep(disk: &dyn Disk, folder: &Path) -> Result<(), FileError> {
    let names = disk.list(folder)?;
    let unfinished = names.iter().filter(|name| name.ends_with(NEW_SUFFIX));
    unfinished.into_iter().try_for_each(|name| disk.remove(&folder.join(name)))
}
