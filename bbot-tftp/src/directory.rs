//! Folders of the host as a [`Store`].

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Operation, ServerError};
use crate::open_file::OpenFiles;
use crate::path::{RequestPath, TEMPORARY_PREFIX};
use crate::quota::{Quota, Reservation, WriteLimits};
use crate::store::{Sink, Source, Store, StoreError};

/// Tries of an `openat2` that a concurrent rename disturbs.
const OPEN_TRIES: u32 = 8;
/// Tries to find a temporary name that nobody uses.
const NAME_TRIES: u32 = 100;

/// What an upload may do to the files that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WritePolicy {
    /// Nothing: all uploads are refused.
    Refuse,
    /// Make new files only.
    Create,
    /// Make new files and replace old ones.
    #[default]
    Overwrite,
}

/// Which folders a server serves: reads come from one, writes go to another.
///
/// Each folder is opened once, when the server is bound; it may be a symbolic link. Names and
/// links inside never lead out of it.
///
/// ```
/// use bbot_tftp::{Namespace, WritePolicy};
/// let namespace = Namespace::new()
///     .read("/srv/tftp")
///     .write("/srv/uploads")
///     .policy(WritePolicy::Create)
///     .upload_limit(1 << 30);
/// assert_eq!(namespace.limits.total_bytes, 1 << 30);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The folder that GETs read from; without it they are refused.
    pub read: Option<PathBuf>,
    /// The folder that PUTs write to; without it they are refused.
    pub write: Option<PathBuf>,
    /// What a PUT may do to old files.
    pub policy: WritePolicy,
    /// Limits for the folder that is written.
    pub limits: WriteLimits,
}

impl Namespace {
    /// A namespace that refuses everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves reads from `folder`.
    #[must_use]
    pub fn read(self, folder: impl Into<PathBuf>) -> Self {
        Self { read: Some(folder.into()), ..self }
    }

    /// Puts writes into `folder`.
    #[must_use]
    pub fn write(self, folder: impl Into<PathBuf>) -> Self {
        Self { write: Some(folder.into()), ..self }
    }

    /// Says what a PUT may do to old files.
    #[must_use]
    pub fn policy(self, policy: WritePolicy) -> Self {
        Self { policy, ..self }
    }

    /// Limits the bytes of all uploaded files together.
    #[must_use]
    pub fn upload_limit(mut self, bytes: u64) -> Self {
        self.limits.total_bytes = bytes;
        self
    }

    /// Limits the bytes of each uploaded file.
    #[must_use]
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.limits.file_bytes = bytes;
        self
    }

    /// Limits the number of uploaded files.
    #[must_use]
    pub fn count_limit(mut self, files: usize) -> Self {
        self.limits.files = files;
        self
    }
}

/// Folders of the host.
#[derive(Debug)]
pub struct DirStore {
    read: Option<OwnedFd>,
    write: Option<OwnedFd>,
    namespace: Namespace,
    open: Arc<OpenFiles>,
    quota: Arc<Quota>,
}

impl DirStore {
    /// Opens the folders of a namespace.
    ///
    /// # Errors
    /// A folder cannot be opened.
    pub fn new(namespace: Namespace) -> Result<Self, ServerError> {
        Ok(Self {
            read: namespace.read.as_deref().map(open_root).transpose()?,
            write: namespace.write.as_deref().map(open_root).transpose()?,
            open: Arc::default(),
            quota: Quota::new(namespace.limits),
            namespace,
        })
    }
}

impl Store for DirStore {
    fn open(&self, path: &RequestPath) -> Result<Box<dyn Source>, StoreError> {
        let root = self.read.as_ref().ok_or(StoreError::Denied)?;
        // Without O_NONBLOCK a FIFO would stop the whole server here.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(open_beneath(root, path.as_str(), flags)?);
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(StoreError::Denied);
        }
        Ok(Box::new(self.open.source(file, &meta)))
    }

    fn create(
        &self,
        path: &RequestPath,
        declared: Option<u64>,
    ) -> Result<Box<dyn Sink>, StoreError> {
        let root = self.write.as_ref().ok_or(StoreError::Denied)?;
        if self.namespace.policy == WritePolicy::Refuse {
            return Err(StoreError::Denied);
        }
        let (folder, name) = path.split();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open_beneath(root, folder, flags)?;
        check_target(&folder, name, self.namespace.policy)?;
        let space = self.quota.reserve(path.as_str(), declared)?;
        if declared.is_some_and(|size| size > free_space(&folder)) {
            return Err(StoreError::Full);
        }
        let (file, temporary) = create_temporary(&folder)?;
        let name = name.to_owned();
        let policy = self.namespace.policy;
        Ok(Box::new(DirSink { file, folder, temporary, name, policy, space: Some(space) }))
    }
}

/// An upload under its temporary name.
#[derive(Debug)]
struct DirSink {
    file: File,
    folder: OwnedFd,
    temporary: String,
    name: String,
    policy: WritePolicy,
    /// Taken when the file is in its place, and the temporary name is gone.
    space: Option<Reservation>,
}

impl Sink for DirSink {
    fn write_at(&mut self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<(), StoreError> {
        let length: usize = buffers.iter().map(|b| b.len()).sum();
        if let Some(space) = &mut self.space {
            space.grow(length as u64)?;
        }
        Ok(write_all(&self.file, buffers, offset)?)
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.file.sync_all()?;
        // A client may have put something there since the request.
        check_target(&self.folder, &self.name, self.policy)?;
        let flags = match self.policy {
            WritePolicy::Overwrite => RenameFlags::empty(),
            WritePolicy::Create | WritePolicy::Refuse => RenameFlags::NOREPLACE,
        };
        let (folder, name) = (&self.folder, self.name.as_str());
        rustix::fs::renameat_with(folder, self.temporary.as_str(), folder, name, flags)?;
        if let Some(space) = self.space.take() {
            space.keep();
        }
        rustix::fs::fsync(&self.folder)?;
        Ok(())
    }
}

impl Drop for DirSink {
    fn drop(&mut self) {
        if self.space.is_some() {
            let removed =
                rustix::fs::unlinkat(&self.folder, self.temporary.as_str(), AtFlags::empty());
            if let Err(error) = removed {
                log::debug!("cannot remove unfinished upload {}: {error}", self.temporary);
            }
        }
    }
}

fn open_root(path: &Path) -> Result<OwnedFd, ServerError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|e| ServerError::new(Operation::OpenFolder(path.to_owned()), e.into()))
}

fn open_beneath(root: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, StoreError> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..OPEN_TRIES {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // The kernel could not rule out that `..` in a link was moved meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Denied)
}

/// Checks what has the upload's name now. A link is not followed, and not replaced either.
fn check_target(folder: &OwnedFd, name: &str, policy: WritePolicy) -> Result<(), StoreError> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
            Err(StoreError::Denied)
        }
        Ok(_) if policy == WritePolicy::Overwrite => Ok(()),
        Ok(_) => Err(StoreError::Exists),
    }
}

fn free_space(folder: impl AsFd) -> u64 {
    // A file system that does not tell is asked by writing.
    rustix::fs::fstatvfs(folder).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

fn create_temporary(folder: &OwnedFd) -> Result<(File, String), StoreError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    for _ in 0..NAME_TRIES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id());
        match rustix::fs::openat(folder, name.as_str(), flags, mode) {
            // A process of the same id left it behind.
            Err(Errno::EXIST) => {}
            result => return Ok((File::from(result?), name)),
        }
    }
    Err(StoreError::Io(io::ErrorKind::AlreadyExists.into()))
}

fn write_all(file: &File, mut buffers: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !buffers.is_empty() {
        if buffers[0].is_empty() {
            buffers = &mut buffers[1..];
            continue;
        }
        match rustix::io::pwritev(file, buffers, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut buffers, count);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
