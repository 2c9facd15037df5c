//! What the instance is doing, for whoever looks: `status.json` in the runtime directory.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::diag;

/// The phases of the work loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Sweeping what an earlier process left.
    Recovering,
    /// Waiting for the host lock, or looking at the machines.
    Enumerating,
    /// Asking controllers for a task.
    Asking,
    /// Bootstrapping a machine.
    Bootstrapping,
    /// Performing a task.
    Building,
    /// Pausing between two rounds.
    Idle,
    /// Releasing everything before the exit.
    Stopping,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    pid: u32,
    phase: Phase,
    /// Seconds since the epoch.
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
}

/// Keeps `status.json` true; without a runtime directory (fake modes) it does nothing.
#[derive(Debug)]
pub(crate) struct Status {
    directory: Option<PathBuf>,
}

impl Status {
    /// Writes into `directory`, which exists, or nowhere.
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// Says that `phase` begins now; a failure is a warning, never the end of the work.
    pub(crate) fn enter(&self, phase: Phase, machine: Option<&str>, package: Option<&str>) {
        if let Err(error) = self.write(phase, machine, package) {
            diag::warn(format_args!("cannot write status.json: {error}"));
        }
    }

    fn write(&self, phase: Phase, machine: Option<&str>, package: Option<&str>) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let pid = std::process::id();
        let document = Document { version: 1, pid, phase, since, machine, package };
        let new = directory.join("status.json.new");
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&new)?;
        serde_json::to_writer(file, &document)?;
        fs::rename(new, directory.join("status.json"))
    }

    /// Removes the file: the instance is no more.
    pub(crate) fn remove(&self) {
        if let Some(directory) = &self.directory {
            // It may never have been written.
            drop(fs::remove_file(directory.join("status.json")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let status = Status::new(Some(dir.path().into()));
        status.enter(Phase::Building, Some("linux"), Some("foo/1.2.3"));
        let text = fs::read(dir.path().join("status.json")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["phase"], "building");
        assert_eq!(value["machine"], "linux");
        assert_eq!(value["version"], 1);
        status.enter(Phase::Idle, None, None);
        let text = fs::read_to_string(dir.path().join("status.json")).unwrap();
        assert!(text.contains("idle") && !text.contains("linux"), "{text}");
        status.remove();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
