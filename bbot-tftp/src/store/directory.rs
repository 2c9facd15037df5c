//! Folders of the host as a store.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::libc;
use nix::sys::stat::{Mode, fstatat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::uio::pwritev;

use super::interface::{ReadRequest, Sink, Source, Store, WriteRequest};
use super::namespace::{Namespace, WritePolicy};
use super::new_file::{NewFile, Older, sweep};
use super::open_file::OpenFiles;
use super::quota::{Quota, Reservation};
use super::store_error::{StoreError, store_error};
use crate::error::{Operation, ServerError};

/// The number of attempts of an openat2(2) that is disturbed by a concurrent rename.
const OPEN_ATTEMPTS: u32 = 8;
/// The maximum number of buffers of a pwritev(2) (`IOV_MAX`).
const MAX_BUFFERS: usize = 1024;

/// A store of the folders of a [`Namespace`].
///
/// Only regular files are served, and no path leaves its folder (`RESOLVE_BENEATH` of openat2(2)).
/// A file that is written has no name before it is complete and durable (T25, T27).
#[derive(Debug)]
pub struct DirStore {
    read: Option<OwnedFd>,
    write: Option<OwnedFd>,
    namespace: Namespace,
    open: Arc<OpenFiles>,
    quota: Arc<Quota>,
}

impl DirStore {
    /// Opens the folders of a namespace, and removes the temporary files that killed processes have
    /// left in the one for writing (T27).
    ///
    /// # Errors
    /// A folder cannot be opened.
    pub fn new(namespace: Namespace) -> Result<Self, ServerError> {
        let write = namespace.write.as_deref().map(open_root).transpose()?;
        if let Some(folder) = write.as_ref().filter(|_| namespace.policy != WritePolicy::Refuse) {
            sweep(folder);
        }
        Ok(Self {
            read: namespace.read.as_deref().map(open_root).transpose()?,
            write,
            open: Arc::default(),
            quota: Quota::new(namespace.limits),
            namespace,
        })
    }
}

impl Store for DirStore {
    fn open(&self, request: &ReadRequest<'_>) -> Result<Box<dyn Source>, StoreError> {
        let root = self.read.as_ref().ok_or(StoreError::Denied)?;
        // Without O_NONBLOCK, opening a FIFO would block the server.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(open_beneath(root, request.path.as_str(), flags)?);
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(StoreError::Denied);
        }
        Ok(Box::new(self.open.source(file, &meta)))
    }

    fn create(&self, request: &WriteRequest<'_>) -> Result<Box<dyn Sink>, StoreError> {
        let WriteRequest { path, declared_size, .. } = *request;
        let root = self.write.as_ref().ok_or(StoreError::Denied)?;
        if self.namespace.policy == WritePolicy::Refuse {
            return Err(StoreError::Denied);
        }
        let (folder, name) = path.split();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open_beneath(root, folder, flags)?;
        let name = CString::new(name).map_err(|_| StoreError::Denied)?;
        check_target(&folder, &name, self.namespace.policy)?;
        let space = self.quota.reserve(path.as_str(), declared_size)?;
        // T10: the declared size is a reason to refuse, not to allocate.
        if declared_size.is_some_and(|size| size > free_space(&folder)) {
            return Err(StoreError::Full);
        }
        let mode = Mode::from_bits_truncate(0o644);
        let file = NewFile::create(folder, mode).map_err(store_error)?;
        Ok(Box::new(DirSink { file, name, policy: self.namespace.policy, space }))
    }
}

/// An upload that has no name yet.
#[derive(Debug)]
struct DirSink {
    file: NewFile,
    name: CString,
    policy: WritePolicy,
    space: Reservation,
}

impl Sink for DirSink {
    fn write_at(&mut self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<(), StoreError> {
        let length: usize = buffers.iter().map(|b| b.len()).sum();
        self.space.grow(length as u64)?;
        Ok(write_all(self.file.file(), buffers, offset)?)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { mut file, name, policy, space } = *self;
        file.file().sync_all()?;
        // Another client may have made this file since the request.
        check_target(file.folder(), &name, policy)?;
        let older = match policy {
            WritePolicy::Overwrite => Older::Replaced,
            WritePolicy::Create | WritePolicy::Refuse => Older::Kept,
        };
        file.publish(&name, older).map_err(store_error)?;
        space.keep();
        file.sync_folder().map_err(store_error)
    }
}

fn open_root(path: &Path) -> Result<OwnedFd, ServerError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty())
        .map_err(|e| ServerError::new(Operation::OpenFolder(path.to_owned()), e.into()))
}

fn open_beneath(root: &OwnedFd, path: &str, flags: OFlag) -> Result<OwnedFd, StoreError> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    for _ in 0..OPEN_ATTEMPTS {
        match openat2(root, path, OpenHow::new().flags(flags).resolve(resolve)) {
            // The kernel could not rule out that a concurrent rename has moved a `..` of a link.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result.map_err(store_error),
        }
    }
    Err(StoreError::Denied)
}

/// Checks whether the policy permits an upload under this name. A link is neither followed nor
/// replaced.
fn check_target(folder: &OwnedFd, name: &CStr, policy: WritePolicy) -> Result<(), StoreError> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(store_error(errno)),
        Ok(stat) if stat.st_mode & libc::S_IFMT != libc::S_IFREG => Err(StoreError::Denied),
        Ok(_) if policy == WritePolicy::Overwrite => Ok(()),
        Ok(_) => Err(StoreError::Exists),
    }
}

fn free_space(folder: impl AsFd) -> u64 {
    // Where this is unknown, a write finds out.
    fstatvfs(folder)
        .map_or(u64::MAX, |found| found.blocks_available().saturating_mul(found.fragment_size()))
}

fn write_all(file: &File, mut buffers: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !buffers.is_empty() {
        if buffers[0].is_empty() {
            buffers = &mut buffers[1..];
            continue;
        }
        let count = buffers.len().min(MAX_BUFFERS);
        let position = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
        match pwritev(file, &buffers[..count], position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut buffers, count);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
