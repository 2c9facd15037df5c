//! The socket of the operator's monitor.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The name of the operator's monitor within the runtime folder.
pub(crate) const MONITOR_SOCKET: &str = "monitor.sock";
/// The longest path in a `struct sockaddr_un`, without its terminating NUL (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// The file of a unix socket, removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    /// Listens at `path`, in place of a socket that an earlier process has left there.
    pub(super) fn listen(path: PathBuf) -> Result<(UnixListener, SocketFile), Error> {
        let refused = |reason| {
            let value = path.display().to_string();
            Err(Error::Config { what: "monitor socket", value, reason })
        };
        if path.as_os_str().len() > SOCKET_PATH_MAX {
            return refused("is longer than 107 bytes");
        }
        if path.to_string_lossy().contains(char::is_control) {
            return refused("has a control character");
        }
        remove_socket(&path).map_err(Error::io("remove socket", &path))?;
        let listener = UnixListener::bind(&path).map_err(Error::io("listen at", &path))?;
        Ok((listener, SocketFile(path)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = remove_socket(&self.0) {
            log::debug!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Removes the socket at `path`. Returns whether there was one.
pub(crate) fn remove_socket(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => {
            std::fs::remove_file(path).map(|()| true)
        }
        // A file of another type is not ours: to listen at its path fails, and says so.
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
