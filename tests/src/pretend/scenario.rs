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
//! After its last step a guest idles; the power button ends it then. Without any step it is a guest
//! that does not come up.

use anyhow::{Context, Result, bail};

/// One thing that a guest does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// `get FILE`: downloads a file.
    Get(String),
    /// `put FILE BYTES`: uploads so many bytes under a name.
    Put(String, usize),
    /// `put-half FILE BYTES`: begins such an upload, and breaks it off half way.
    PutHalf(String, usize),
    /// `put-archive FILE:BYTES...`: uploads an archive of files of so many bytes.
    PutArchive(Vec<(String, usize)>),
    /// `put-bootstrap VERSION`: uploads the bootstrap manifest of a worker of this version.
    PutBootstrap(String),
    /// `put-result STATUS`: uploads the result of the task that was downloaded, with this status.
    PutResult(String),
    /// `put-result-of NAME VERSION STATUS`: uploads the result for another package.
    PutResultOf(String, String, String),
    /// `put-task`: uploads a good result whose log is the task that was downloaded, in base64.
    PutTask,
    /// `put-large-result BYTES`: uploads a good result with a log of so many bytes.
    PutLargeResult(usize),
    /// `put-cut-result STATUS`: uploads a result whose compressed frame lacks its end.
    PutCutResult(String),
    /// `flood COUNT`: sends so many requests and other datagrams, and heeds no answer.
    Flood(usize),
    /// `await FILE`: goes on when there is such a file on the host.
    Await(String),
    /// `plug SOCKET`: lets whoever listens there be the guest; see [`crate::station`].
    Plug(String),
    /// `fill-disk`: writes to the disk what the host has no room for, and is stopped.
    FillDisk,
    /// `install`: notes on the disk that it is installed.
    Install,
    /// `spoil`: makes the disk unbootable.
    Spoil,
    /// `ignore-power`: does not heed the power button any more.
    IgnorePower,
    /// `exit CODE`: ends with this exit code.
    Exit(u8),
}

impl Step {
    fn parse(line: &str) -> Result<Step> {
        let words: Vec<_> = line.split_whitespace().collect();
        let owned = str::to_owned;
        Ok(match words[..] {
            ["get", file] => Step::Get(owned(file)),
            ["put", file, size] => Step::Put(owned(file), size.parse()?),
            ["put-half", file, size] => Step::PutHalf(owned(file), size.parse()?),
            ["put-archive", ref files @ ..] => {
                let file = |word: &&str| {
                    let (name, size) = word.split_once(':').context("a file without a size")?;
                    Ok((owned(name), size.parse()?))
                };
                Step::PutArchive(files.iter().map(file).collect::<Result<_>>()?)
            }
            ["put-bootstrap", version] => Step::PutBootstrap(owned(version)),
            ["put-result", status] => Step::PutResult(owned(status)),
            ["put-result-of", name, version, status] => {
                Step::PutResultOf(owned(name), owned(version), owned(status))
            }
            ["put-task"] => Step::PutTask,
            ["put-large-result", size] => Step::PutLargeResult(size.parse()?),
            ["put-cut-result", status] => Step::PutCutResult(owned(status)),
            ["flood", count] => Step::Flood(count.parse()?),
            ["await", file] => Step::Await(owned(file)),
            ["plug", socket] => Step::Plug(owned(socket)),
            ["fill-disk"] => Step::FillDisk,
            ["install"] => Step::Install,
            ["spoil"] => Step::Spoil,
            ["ignore-power"] => Step::IgnorePower,
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

/// The script of a guest that bootstraps well and then does these steps in each build.
pub fn building(steps: &[&str]) -> String {
    let first = format!("{FRESH}first: put-bootstrap 0.16.0\nfirst: install\n");
    steps.iter().fold(first, |script, step| script + "later: " + step + "\n")
}

/// The script of a guest that does these steps in each bootstrap.
pub fn bootstrapping(steps: &[&str]) -> String {
    steps.iter().fold(FRESH.to_owned(), |script, step| script + "first: " + step + "\n")
}

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
    use super::{Step, WELL, bootstrapping, building, installed, steps};

    #[test]
    fn a_disk_boots_anew_and_then_otherwise() {
        let first = steps(WELL).unwrap();
        assert_eq!(first.last(), Some(&Step::Install));
        let later = steps(&installed(WELL)).unwrap();
        assert_eq!(later[0], Step::Get("task.manifest".to_owned()));
        assert_eq!(later[2], Step::PutResult("success".to_owned()));
        assert!(steps("x\n").is_err() && steps("fresh\nfirst: dance\n").is_err());
    }

    #[test]
    fn scripts_are_made_of_steps() {
        let exit = [Step::Exit(3)];
        assert_eq!(steps(&installed(&building(&["exit 3"]))).unwrap(), exit);
        assert_eq!(steps(&building(&["exit 3"])).unwrap().len(), 2);
        assert_eq!(steps(&bootstrapping(&["exit 3"])).unwrap(), exit);
    }
}
