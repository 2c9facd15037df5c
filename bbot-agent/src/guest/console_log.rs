//! What is kept of the guest of a failed job: the console log (W34) and, if it is held, a report
//! that says how to inspect it (W27).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// For how many failures; the oldest are removed.
const KEPT: usize = 20;

/// Copies `console` to `<state>/failures/<milliseconds since the epoch>-<machine>.log`.
pub(super) fn keep(console: &Path, state: &Path, machine: &str) -> io::Result<PathBuf> {
    let folder = state.join("failures");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = folder.join(format!("{:013}-{machine}.log", now.as_millis()));
    fs::copy(console, &path)?;
    remove_oldest(&folder)?;
    Ok(path)
}

/// Puts a report beside the kept `log`, and returns where it is.
pub(super) fn add_report(log: &Path, report: &[u8]) -> io::Result<PathBuf> {
    let path = log.with_extension("manifest");
    fs::write(&path, report)?;
    Ok(path)
}

fn remove_oldest(folder: &Path) -> io::Result<()> {
    let files = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    let failures: BTreeSet<&OsStr> = files.iter().filter_map(|file| file.file_stem()).collect();
    let old: BTreeSet<_> = failures.iter().rev().skip(KEPT).collect();
    for file in &files {
        if file.file_stem().is_some_and(|failure| old.contains(&failure)) {
            fs::remove_file(file)?;
        }
    }
    Ok(())
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
            let log = folder.join(format!("{index:013}-linux_12.1.log"));
            fs::write(&log, "old").unwrap();
            add_report(&log, b": 1\n").unwrap();
        }
        let path = keep(&console, &dir.path().join("state"), "linux").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "panic");
        assert!(path.to_str().unwrap().ends_with("-linux.log"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2 * KEPT - 1);
        for extension in ["log", "manifest"] {
            let is_there = |index| {
                let name = format!("{index:013}-linux_12.1.{extension}");
                folder.join(name).try_exists().unwrap()
            };
            assert!(!is_there(0) && is_there(1), "{extension}");
        }
    }
}
