//! Console logs of guests that give cause for a look, kept for an operator (W34).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many logs are kept; the oldest ones make room.
const KEPT: usize = 20;

/// Copies `console` to `<state>/failures/<milliseconds since the epoch>-<machine>.log`.
pub(super) fn keep(console: &Path, state: &Path, machine: &str) -> io::Result<PathBuf> {
    let folder = state.join("failures");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = folder.join(format!("{:013}-{machine}.log", now.as_millis()));
    fs::copy(console, &path)?;
    let mut logs = fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    logs.sort();
    for old in logs.iter().rev().skip(KEPT) {
        fs::remove_file(old)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W34: a log is kept with a failure, and not without end.
    #[test]
    fn keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join("console.log");
        fs::write(&console, "panic").unwrap();
        let folder = dir.path().join("state/failures");
        for index in 0..KEPT {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{index:013}-m.log")), "old").unwrap();
        }
        let path = keep(&console, &dir.path().join("state"), "linux").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "panic");
        assert!(path.to_str().unwrap().ends_with("-linux.log"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), KEPT);
        assert!(!folder.join(format!("{:013}-m.log", 0)).try_exists().unwrap());
        assert!(folder.join(format!("{:013}-m.log", 1)).try_exists().unwrap());
    }
}
