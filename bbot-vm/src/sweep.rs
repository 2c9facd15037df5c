//! What an instance that died has left on the host.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::Error;
use crate::command;
use crate::guest::{MONITOR_SOCKET, remove_socket};
use crate::network::{self, NetworkConfig, Table};
use crate::process::{self, KILL_LIMIT};

/// Something that [`sweep`] removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Swept {
    /// A hypervisor, which was killed.
    Process {
        /// Its number.
        pid: i32,
    },
    /// A tap.
    Tap {
        /// Its name.
        name: String,
    },
    /// An nft table.
    Table {
        /// Its family: `bridge` or `ip`.
        family: String,
        /// Its name.
        name: String,
    },
    /// The file of a monitor's socket.
    Socket {
        /// Its path.
        path: PathBuf,
    },
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Swept::Process { pid } => write!(f, "hypervisor process {pid}"),
            Swept::Tap { name } => write!(f, "tap {name}"),
            Swept::Table { family, name } => write!(f, "nft table {family} {name}"),
            Swept::Socket { path } => write!(f, "socket {}", path.display()),
        }
    }
}

/// Removes what an earlier process of this instance has left: the hypervisors whose command line
/// names a monitor beneath `runtime_dir`, then the tap, the nft tables and the monitor's socket in
/// that folder or in one of its folders. Returns what it removed. The instance must have no guest
/// of its own.
///
/// What other instances have is never touched, and sweeping twice is harmless.
///
/// # Errors
///
/// If something of the instance's is there and cannot be removed.
pub fn sweep(config: &NetworkConfig, runtime_dir: &Path) -> Result<Vec<Swept>, Error> {
    let mut tables = config.tables()?;
    let mut swept: Vec<_> = kill_hypervisors(runtime_dir)?
        .into_iter()
        .map(|pid| Swept::Process { pid: pid.as_raw_nonzero().get() })
        .collect();
    // A tap that the hypervisors held is gone with them.
    if network::remove_left_tap(&config.tap())? {
        swept.push(Swept::Tap { name: config.tap() });
    }
    let found = tables.existing()?;
    if !found.is_empty() {
        tables.delete()?;
    }
    swept.extend(found.into_iter().map(|Table { family, name }| Swept::Table { family, name }));
    swept.extend(remove_sockets(runtime_dir)?.into_iter().map(|path| Swept::Socket { path }));
    Ok(swept)
}

/// Removes the monitors' sockets. Returns their paths.
fn remove_sockets(runtime_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { operation, path, source }
    };
    let mut folders = vec![runtime_dir.to_owned()];
    match fs::read_dir(runtime_dir) {
        // One that cannot be looked at is none of ours.
        Ok(entries) => folders.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read runtime folder", runtime_dir)(error)),
    }
    let mut removed = Vec::new();
    for path in folders.iter().map(|folder| folder.join(MONITOR_SOCKET)) {
        if remove_socket(&path).map_err(failed("remove socket", &path))? {
            removed.push(path);
        }
    }
    Ok(removed)
}

/// Kills the hypervisors that are marked with a monitor beneath `runtime_dir`; first all of them,
/// then it waits.
fn kill_hypervisors(runtime_dir: &Path) -> Result<Vec<Pid>, Error> {
    let failed =
        |source| Error::Io { operation: "read process list", path: PathBuf::from("/proc"), source };
    // The folder is as it was when the guest was started, or there is no guest beneath it: the
    // path that marks a process is a resolved one.
    let Ok(runtime_dir) = runtime_dir.canonicalize() else { return Ok(Vec::new()) };
    let mut killed = Vec::new();
    for entry in fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // It has ended meanwhile.
            Err(Errno::SRCH | Errno::INVAL) => continue,
            Err(error) => return Err(failed(error.into())),
        };
        // The number was this process's when the pidfd was opened; if it is another's by now, the
        // signal goes to the one that is gone.
        if is_marked(pid, &runtime_dir) {
            process::signal(pidfd.as_fd(), Signal::KILL);
            killed.push((pid, pidfd));
        }
    }
    for (pid, pidfd) in &killed {
        if !process::wait_readable(pidfd.as_fd(), KILL_LIMIT) {
            return Err(Error::StillAlive { pid: pid.as_raw_nonzero().get(), limit: KILL_LIMIT });
        }
    }
    Ok(killed.into_iter().map(|(pid, _)| pid).collect())
}

fn is_marked(pid: Pid, runtime_dir: &Path) -> bool {
    let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
    // One that cannot be read has ended, or is none of ours.
    let Ok(arguments) = fs::read(path) else { return false };
    let marked = command::marked_monitor(arguments.split(|&byte| byte == 0));
    // By whole components: `public-1` is not beneath `public-10`, nor the other way round.
    marked.is_some_and(|monitor| monitor.starts_with(runtime_dir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// W3: the monitor's socket, and nothing that only bears its name.
    #[test]
    fn sockets_are_removed_where_guests_make_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["private", "file", "deep", "deep/er"] {
            fs::create_dir(path(name)).unwrap();
        }
        let sockets = ["monitor.sock", "private/monitor.sock"].map(path);
        for socket in &sockets {
            UnixListener::bind(socket).unwrap();
        }
        UnixListener::bind(path("deep/er/monitor.sock")).unwrap();
        UnixListener::bind(path("private/other.sock")).unwrap();
        fs::write(path("file/monitor.sock"), "").unwrap();
        std::os::unix::fs::symlink(path("deep/er"), path("link")).unwrap();
        assert_eq!(remove_sockets(folder.path()).unwrap(), sockets);
        assert!(remove_sockets(folder.path()).unwrap().is_empty());
        for kept in ["deep/er/monitor.sock", "private/other.sock", "file/monitor.sock"] {
            assert!(path(kept).symlink_metadata().is_ok(), "{kept}");
        }
        assert!(remove_sockets(&path("absent")).unwrap().is_empty());
    }

    #[test]
    fn swept_things_are_told_by_name() {
        for (swept, expected) in [
            (Swept::Process { pid: 7 }, "hypervisor process 7"),
            (Swept::Tap { name: "tap1".into() }, "tap tap1"),
            (
                Swept::Table { family: "ip".into(), name: "bbot-public-1".into() },
                "nft table ip bbot-public-1",
            ),
            (Swept::Socket { path: "/run/x".into() }, "socket /run/x"),
        ] {
            assert_eq!(swept.to_string(), expected);
        }
    }
}
