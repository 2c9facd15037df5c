//! The traits of storage: files that are read, and files that are written.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;

use super::store_error::StoreError;
use crate::protocol::RequestPath;

/// Opens the files that clients read, and creates those that they write.
///
/// [`DirStore`](crate::DirStore) serves folders of the host. The front page of this crate has a
/// store that keeps its files in memory.
pub trait Store: Send {
    /// Opens a file for reading. The call must not block.
    ///
    /// # Errors
    /// The file does not exist, or must not be read.
    fn open(&self, request: &ReadRequest<'_>) -> Result<Box<dyn Source>, StoreError>;

    /// Creates a file, which does not become visible before [`Sink::commit`]. The call must not
    /// block.
    ///
    /// # Errors
    /// The file must not be written, or there is no space for it.
    fn create(&self, request: &WriteRequest<'_>) -> Result<Box<dyn Sink>, StoreError>;
}

/// A request to read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReadRequest<'a> {
    /// The path of the file.
    pub path: &'a RequestPath,
    /// The address and port of the client, which may be forged (T35).
    pub peer: SocketAddr,
}

impl<'a> ReadRequest<'a> {
    /// A request of `peer` to read the file at `path`.
    pub const fn new(path: &'a RequestPath, peer: SocketAddr) -> Self {
        Self { path, peer }
    }
}

/// A request to write a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct WriteRequest<'a> {
    /// The path of the file.
    pub path: &'a RequestPath,
    /// The address and port of the client, which may be forged (T35).
    pub peer: SocketAddr,
    /// The size that the client has declared, in bytes. The file may have another one: a store may
    /// refuse the file because of it, but should not allocate space (T10).
    pub declared_size: Option<u64>,
}

impl<'a> WriteRequest<'a> {
    /// A request of `peer` to write the file at `path`, of an unknown size.
    pub const fn new(path: &'a RequestPath, peer: SocketAddr) -> Self {
        Self { path, peer, declared_size: None }
    }

    /// Sets [`declared_size`](Self::declared_size).
    #[must_use]
    pub const fn with_declared_size(self, size: u64) -> Self {
        Self { declared_size: Some(size), ..self }
    }
}

/// A file that is read.
pub trait Source: Send {
    /// The file's length when it was opened, in bytes.
    fn size(&self) -> u64;

    /// Reads at `offset` into `buffers`, as preadv(2) does, and returns the number of bytes; 0
    /// means the end of the file.
    ///
    /// A transfer in lockstep calls it once for each block.
    ///
    /// # Errors
    /// The file could not be read.
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize>;
}

/// A file that is written, and not visible yet. If it is dropped before it is committed, nothing
/// is left of it.
pub trait Sink: Send {
    /// Writes all of `buffers` at `offset`, which is the length of the file so far.
    ///
    /// # Errors
    /// There is no space, or the file could not be written.
    fn write_at(&mut self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<(), StoreError>;

    /// Makes the file durable and visible under its name. The call may block: a server calls it on
    /// a thread of its own.
    ///
    /// # Errors
    /// The file is not visible; an older file of its name is unchanged.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// A file in memory.
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

/// Fills `buffers` with the bytes from `offset` on; the end of the file is an error.
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
