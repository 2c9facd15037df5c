//! A local file that is replaced only by a complete one.

use std::ffi::CString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;

use super::new_file::{NewFile, Older};

/// The maximum number of symbolic links on the way to a file, as in the kernel (see
/// `path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// A local file that [`Client::get`](crate::Client::get) writes: it takes its name when it is
/// complete, and until then an older file of that name is unchanged (T28).
///
/// If it is dropped before [`commit`](Self::commit), or the process is killed, nothing is left of
/// it. [`flush`](Write::flush) makes its content durable, so that a full disk is noticed before the
/// server is told that the file has arrived. Symbolic links are followed, and the permissions of an
/// older file are kept. What is not a regular file, like a terminal or a pipe, is written directly.
///
/// ```
/// use std::io::Write;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("kernel");
/// let mut file = bbot_tftp::AtomicFile::create(&path)?;
/// file.write_all(b"content")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(path)?, b"content");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AtomicFile(Target);

#[derive(Debug)]
enum Target {
    New { file: NewFile, name: CString },
    Special(File),
}

impl AtomicFile {
    /// Begins a file that will be at `path`.
    ///
    /// # Errors
    /// A file cannot be made there, or the older one must not be written.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = resolve(path.as_ref())?;
        let older = match OpenOptions::new().write(true).open(&path) {
            Ok(older) => Some(older),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let meta = older.as_ref().map(File::metadata).transpose()?;
        match (older, meta) {
            (Some(special), Some(meta)) if !meta.is_file() => Ok(Self(Target::Special(special))),
            (_, meta) => Self::create_new(&path, meta.as_ref()),
        }
    }

    fn create_new(path: &Path, older: Option<&Metadata>) -> io::Result<Self> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let name = CString::new(name.as_bytes())?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or_else(|| Path::new(".")))?;
        let file = NewFile::create(folder.into(), Mode::from_bits_truncate(0o666))?;
        if let Some(older) = older {
            let mode = older.mode() & 0o7777;
            // Another user's file becomes the caller's where the caller may not give it away.
            drop(fchown(file.file(), Some(older.uid()), Some(older.gid())));
            file.file().set_permissions(PermissionsExt::from_mode(mode))?;
        }
        Ok(Self(Target::New { file, name }))
    }

    /// Makes the file durable and visible under its name.
    ///
    /// # Errors
    /// The file is not visible, and an older one is unchanged; or its name is not durable.
    pub fn commit(mut self) -> io::Result<()> {
        self.flush()?;
        match self.0 {
            Target::New { mut file, name } => {
                file.publish(&name, Older::Replaced)?;
                Ok(file.sync_folder()?)
            }
            Target::Special(_) => Ok(()),
        }
    }

    fn file(&self) -> &File {
        match &self.0 {
            Target::New { file, .. } => file.file(),
            Target::Special(file) => file,
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file().write_vectored(buffers)
    }

    /// Makes the content durable, but not visible.
    fn flush(&mut self) -> io::Result<()> {
        match &self.0 {
            Target::New { file, .. } => file.file().sync_all(),
            Target::Special(_) => Ok(()),
        }
    }
}

/// Follows the symbolic links at the end of a path, also to a file that does not exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    match std::fs::metadata(&path) {
        // Links below /proc lead to pipes and terminals that have no path.
        Ok(meta) if !meta.is_file() => return Ok(path),
        Ok(_) => return path.canonicalize(),
        Err(_) => {}
    }
    for _ in 0..MAX_LINKS {
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => {
                let target = std::fs::read_link(&path)?;
                path.pop();
                path.push(target);
            }
            _ => return Ok(path),
        }
    }
    Err(nix::errno::Errno::ELOOP.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, content: &[u8]) -> AtomicFile {
        let mut file = AtomicFile::create(path).unwrap();
        file.write_all(content).unwrap();
        file
    }

    /// T28: an older file is unchanged until the new one is complete, and keeps its permissions.
    #[test]
    fn older_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        drop(write(&path, b"new"));
        let new = write(&path, b"new");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        new.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// T28: links are followed and remain, also one to a file that does not exist; what is not a
    /// regular file is not replaced.
    #[test]
    fn links_and_special_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        symlink("sub/target", path("link")).unwrap();
        symlink("link", path("second")).unwrap();
        for content in [b"one", b"two"] {
            write(&path("second"), content).commit().unwrap();
            assert_eq!(fs::read(path("sub/target")).unwrap(), content);
        }
        assert!(path("link").is_symlink() && path("second").is_symlink());
        symlink("circle", path("circle")).unwrap();
        for wrong in ["circle", "sub", "no/such"] {
            AtomicFile::create(path(wrong)).unwrap_err();
        }
        let (mut output, input) = io::pipe().unwrap();
        let pipe = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&input));
        write(Path::new(&pipe), b"content").commit().unwrap();
        drop(input);
        let mut written = String::new();
        io::Read::read_to_string(&mut output, &mut written).unwrap();
        assert_eq!(written, "content");
        write(Path::new("/dev/null"), b"content").commit().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
