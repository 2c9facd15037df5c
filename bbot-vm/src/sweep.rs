//! Removes what a killed process of an instance has left on the host.

mod hypervisors;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::guest::{MONITOR_SOCKET, remove_socket};
use crate::network::{self, NetworkConfig, Table};

/// Something that [`sweep`] or [`sweep_guests`] removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// Removes what an earlier process of this instance has left: the hypervisors, the tap, the nft
/// tables and the monitor sockets. Returns what it removed, in this order.
///
/// Hypervisors are found by their command line, which contains the path of a monitor beneath
/// `runtime_dir`; sockets are looked for in that folder and in its folders. The instance must have
/// no guest of its own. What other instances own is never touched, and sweeping twice is harmless.
///
/// # Errors
///
/// If something of the instance's cannot be removed.
pub fn sweep(config: &NetworkConfig, runtime_dir: &Path) -> Result<Vec<Swept>, Error> {
    let mut tables = config.tables()?;
    let mut swept = kill_hypervisors(runtime_dir)?;
    // A tap that only the hypervisors held has ended with them. W69: another interface of its name
    // is left.
    if network::remove_left_tap(config)? {
        swept.push(Swept::Tap { name: config.tap() });
    }
    let found = tables.existing()?;
    if !found.is_empty() {
        tables.delete()?;
    }
    swept.extend(found.into_iter().map(|Table { family, name }| Swept::Table { family, name }));
    swept.extend(remove_sockets(runtime_dir)?);
    Ok(swept)
}

/// Removes what earlier guests without a [`Network`](crate::Network) have left: [`sweep`] of the
/// hypervisors and the monitor sockets alone.
///
/// # Errors
///
/// If one of them cannot be removed.
pub fn sweep_guests(runtime_dir: &Path) -> Result<Vec<Swept>, Error> {
    let mut swept = kill_hypervisors(runtime_dir)?;
    swept.extend(remove_sockets(runtime_dir)?);
    Ok(swept)
}

fn kill_hypervisors(runtime_dir: &Path) -> Result<Vec<Swept>, Error> {
    let killed = hypervisors::kill(runtime_dir)?;
    Ok(killed.into_iter().map(|pid| Swept::Process { pid }).collect())
}

fn remove_sockets(runtime_dir: &Path) -> Result<Vec<Swept>, Error> {
    let mut folders = vec![runtime_dir.to_owned()];
    match fs::read_dir(runtime_dir) {
        // An entry that cannot be examined is none of ours.
        Ok(entries) => folders.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read runtime folder", runtime_dir)(error)),
    }
    let mut removed = Vec::new();
    for path in folders.iter().map(|folder| folder.join(MONITOR_SOCKET)) {
        if remove_socket(&path).map_err(Error::io("remove socket", &path))? {
            removed.push(Swept::Socket { path });
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
