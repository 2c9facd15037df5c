//! The operations on the file system that must not go unnoticed when they fail, behind a trait: a
//! test makes any one of them fail.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FallocateFlags, RenameFlags, fallocate, renameat2};

use super::FileError;
use super::bounded_read;

/// The operations of a file system.
pub(crate) trait Storage: fmt::Debug + Send + Sync {
    /// Reads a file; `None` if it has more than `limit` bytes.
    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError>;

    /// Returns the names in a folder, without those that are not UTF-8.
    fn list(&self, folder: &Path) -> Result<Vec<String>, FileError>;

    /// Writes a file, in place of the one that may exist. With `sync`, brings its content to the
    /// device, fsync(2).
    fn write(&self, path: &Path, mode: u32, content: &[u8], sync: bool) -> Result<(), FileError>;

    /// Reserves room for `size` bytes in a file, durably: to fill it needs neither space nor an
    /// inode. A file that has this room already stays as it is. An error if the file system is not
    /// writable. Returns whether the file was changed.
    fn reserve(&self, path: &Path, mode: u32, size: u64) -> Result<bool, FileError>;

    /// Replaces the content of an existing file, in the room that is reserved there, and brings it
    /// to the device, fsync(2).
    fn fill(&self, path: &Path, content: &[u8]) -> Result<(), FileError>;

    /// Releases the room that is reserved in a file beyond its content.
    fn trim(&self, path: &Path) -> Result<(), FileError>;

    /// Renames a file or folder, in place of the one that may be at `to`.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;

    /// Renames a file; an error of kind `AlreadyExists` if there is one at `to`.
    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FileError>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), FileError>;

    /// Creates a folder that only its owner can use.
    fn create_folder(&self, folder: &Path) -> Result<(), FileError>;

    /// Removes a folder with its content.
    fn remove_folder(&self, folder: &Path) -> Result<(), FileError>;

    /// Brings the names in the folder to the device, fsync(2).
    fn sync_folder(&self, folder: &Path) -> Result<(), FileError>;
}

/// The file system of the host.
pub(crate) const REAL: &dyn Storage = &RealStorage;

/// The file system of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealStorage;

impl Storage for RealStorage {
    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
        let read = File::open(path).and_then(|file| bounded_read::whole(file, limit));
        read.map_err(FileError::of("read", path))
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, FileError> {
        let names = fs::read_dir(folder).and_then(|entries| {
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            names.filter_map(Result::transpose).collect()
        });
        names.map_err(FileError::of("list", folder))
    }

    fn write(&self, path: &Path, mode: u32, content: &[u8], sync: bool) -> Result<(), FileError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut file = options.open(path).map_err(FileError::of("create", path))?;
        file.write_all(content).map_err(FileError::of("write", path))?;
        if sync {
            file.sync_all().map_err(FileError::of("synchronise", path))?;
        }
        Ok(())
    }

    fn reserve(&self, path: &Path, mode: u32, size: u64) -> Result<bool, FileError> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(mode).open(path);
        let file = file.map_err(FileError::of("create", path))?;
        reserve(&file, size).map_err(FileError::of("reserve room in", path))
    }

    fn fill(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let file = OpenOptions::new().write(true).open(path);
        let mut file = file.map_err(FileError::of("open", path))?;
        file.write_all(content).map_err(FileError::of("write", path))?;
        let length = file.metadata().map_err(FileError::of("write", path))?.len();
        if length != content.len() as u64 {
            // What was there before was longer.
            file.set_len(content.len() as u64).map_err(FileError::of("write", path))?;
        }
        file.sync_all().map_err(FileError::of("synchronise", path))
    }

    fn trim(&self, path: &Path) -> Result<(), FileError> {
        let trimmed = OpenOptions::new().write(true).open(path).and_then(|file| {
            let length = file.metadata()?.len();
            file.set_len(length)
        });
        trimmed.map_err(FileError::of("trim", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        fs::rename(from, to).map_err(FileError::of("rename", from))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let renamed = renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE);
        renamed.map_err(|error| FileError::of("rename", from)(error.into()))
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        fs::remove_file(path).map_err(FileError::of("remove", path))
    }

    fn create_folder(&self, folder: &Path) -> Result<(), FileError> {
        DirBuilder::new().mode(0o700).create(folder).map_err(FileError::of("create", folder))
    }

    fn remove_folder(&self, folder: &Path) -> Result<(), FileError> {
        fs::remove_dir_all(folder).map_err(FileError::of("remove", folder))
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), FileError> {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(FileError::of("synchronise", folder))
    }
}

/// The unit of `st_blocks`, see inode(7).
const BLOCK: u64 = 512;

/// Allocates `size` bytes for a file, unless it has as many already; returns whether it had not.
fn reserve(mut file: &File, size: u64) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if metadata.blocks() * BLOCK >= size || metadata.len() >= size {
        return Ok(false);
    }
    let length = i64::try_from(size).map_err(io::Error::other)?;
    // The length stays: no reader takes what is reserved for content.
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        // A file system without it: what is written can at least be overwritten.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {
            io::copy(&mut io::repeat(0).take(size), &mut file).map(drop)?;
        }
        allocated => allocated?,
    }
    file.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests;
