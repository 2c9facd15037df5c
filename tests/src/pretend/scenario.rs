//! What a pretend guest does: its disk image is its script.
//!
//! ```text
//! fresh                                  or `installed`, which the step `install` makes of it
//! first: get toolchain.sha256            steps of a boot from a fresh disk
//! first: put-bootstrap
//! first: install
//! later: get task.manifest               steps of every other boot
//! later: put-result success
//! ```
//!
//! After its last step a guest idles; the power button ends it then.

use anyhow::{Context, Result, bail};

/// One thing that a guest does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Downloads a file.
    Get(String),
    /// Uploads so many bytes under a name.
    Put(String, usize),
    /// Uploads the bootstrap manifest of a worker of this version.
    PutBootstrap(String),
    /// Uploads the result of the task that was downloaded, with this status.
    PutResult(String),
    /// Notes on the disk that it is installed.
    Install,
    /// Ends with this exit code.
    Exit(u8),
}

impl Step {
    fn parse(line: &str) -> Result<Step> {
        let words: Vec<_> = line.split_whitespace().collect();
        Ok(match words[..] {
            ["get", file] => Step::Get(file.to_owned()),
            ["put", file, size] => Step::Put(file.to_owned(), size.parse()?),
            ["put-bootstrap", version] => Step::PutBootstrap(version.to_owned()),
            ["put-result", status] => Step::PutResult(status.to_owned()),
            ["install"] => Step::Install,
            ["exit", code] => Step::Exit(code.parse()?),
            _ => bail!("unknown step {line:?}"),
        })
    }
}

/// The first line of a disk on which nothing is installed.
const FRESH: &str = "fresh\n";
const INSTALLED: &str = "installed\n";

/// The script of a guest that does everything well.
pub const WELL: &str = "fresh\n\
    first: get toolchain.sha256\n\
    first: put-bootstrap 0.16.0\n\
    first: install\n\
    later: get task.manifest\n\
    later: put upload.tar 10240\n\
    later: put-result success\n";

/// The steps of the boot that the disk is due for.
pub(super) fn steps(disk: &str) -> Result<Vec<Step>> {
    let (state, script) = disk.split_once('\n').context("an empty disk")?;
    let prefix = match state {
        "fresh" => "first:",
        "installed" => "later:",
        _ => bail!("this disk is not bootable"),
    };
    script.lines().filter_map(|line| line.strip_prefix(prefix)).map(Step::parse).collect()
}

/// The disk after its installation.
pub(super) fn installed(disk: &str) -> String {
    disk.replacen(FRESH, INSTALLED, 1)
}

#[cfg(test)]
mod tests {
    use super::{Step, WELL, installed, steps};

    #[test]
    fn a_disk_boots_anew_and_then_otherwise() {
        let first = steps(WELL).unwrap();
        assert_eq!(first.last(), Some(&Step::Install));
        let later = steps(&installed(WELL)).unwrap();
        assert_eq!(later[0], Step::Get("task.manifest".to_owned()));
        assert_eq!(later[2], Step::PutResult("success".to_owned()));
        assert!(steps("x\n").is_err() && steps("fresh\nfirst: dance\n").is_err());
    }
}
