//! Where files come from and go to.

use std::io::{self, IoSlice, IoSliceMut};

use crate::packet::ErrorCode;
use crate::path::RequestPath;

/// Opens the files that are read and makes those that are written.
///
/// [`DirStore`](crate::DirStore) is the one that serves folders.
pub trait Store: Send {
    /// Opens a file for reading. It must not block.
    ///
    /// # Errors
    /// The file is not there, or not to be read by TFTP.
    fn open(&self, path: &RequestPath) -> Result<Box<dyn Source>, StoreError>;

    /// Begins a file that becomes visible by [`Sink::commit`] only. It must not block.
    ///
    /// `declared` is the size that the client announced: a reason to refuse, never to allocate.
    ///
    /// # Errors
    /// The file may not be written, or there is no room for it.
    fn create(
        &self,
        path: &RequestPath,
        declared: Option<u64>,
    ) -> Result<Box<dyn Sink>, StoreError>;
}

/// A file that is read.
pub trait Source: Send {
    /// The file's length when it was opened.
    fn size(&self) -> u64;

    /// Reads at `offset` into `buffers`, as `preadv(2)` does; 0 means the end.
    ///
    /// A client in lockstep makes one such read for each block.
    ///
    /// # Errors
    /// The file could not be read.
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize>;
}

/// A file that is written, and that nobody sees yet. Dropped uncommitted, it leaves no trace.
pub trait Sink: Send {
    /// Writes all of `buffers` at `offset`, which is the length so far.
    ///
    /// # Errors
    /// There is no room, or the file could not be written.
    fn write_at(&mut self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<(), StoreError>;

    /// Makes the file durable and puts it in its place. May take its time: a thread of its own
    /// calls it.
    ///
    /// # Errors
    /// The file is not in its place; what was there before still is.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Why a store refuses.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such file.
    NotFound,
    /// The policy forbids it, or it is no regular file, or it lies outside.
    Denied,
    /// The file is longer than allowed, or the quota or the disk is full.
    Full,
    /// There is a file of this name, and it may not be replaced.
    Exists,
    /// Anything else.
    Io(io::Error),
}

impl StoreError {
    /// What the client is told: never a path of the host.
    pub fn reply(&self) -> (ErrorCode, &'static str) {
        match self {
            Self::NotFound => (ErrorCode::NOT_FOUND, "file not found"),
            Self::Denied => (ErrorCode::ACCESS, "access violation"),
            Self::Full => (ErrorCode::DISK_FULL, "disk full or quota exceeded"),
            Self::Exists => (ErrorCode::EXISTS, "file already exists"),
            Self::Io(_) => (ErrorCode::UNDEFINED, "storage failed"),
        }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reply().1)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Self::NotFound,
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Self::Full,
            Some(Errno::EXIST) => Self::Exists,
            Some(
                Errno::ACCESS
                | Errno::PERM
                | Errno::LOOP
                | Errno::XDEV
                | Errno::ISDIR
                | Errno::NXIO
                | Errno::ROFS
                | Errno::NAMETOOLONG,
            ) => Self::Denied,
            _ => Self::Io(error),
        }
    }
}

impl From<rustix::io::Errno> for StoreError {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut rest = self.get(offset..).unwrap_or_default();
        let before = rest.len();
        for buffer in buffers {
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            rest = &rest[length..];
        }
        Ok(before - rest.len())
    }
}

/// Fills `buffers` from `offset` on; a file that ends before that is an error.
pub(crate) fn read_all(
    source: &dyn Source,
    mut buffers: &mut [IoSliceMut<'_>],
    mut offset: u64,
) -> io::Result<()> {
    while !buffers.is_empty() {
        if buffers[0].is_empty() {
            buffers = &mut buffers[1..];
            continue;
        }
        match source.read_at(buffers, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                offset += count as u64;
                IoSliceMut::advance_slices(&mut buffers, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
