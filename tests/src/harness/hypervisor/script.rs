//! The script of a simulated guest, which is its disk image.
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
//! After its last step a guest does nothing; the power button ends it then. A guest without any
//! step is one that does not boot.

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// One step of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// `get FILE`: downloads a file.
    Get(String),
    /// `put FILE BYTES`: uploads a file of this size.
    Put(String, usize),
    /// `put-half FILE BYTES`: begins to upload a file of this size, and stops after half of it.
    PutHalf(String, usize),
    /// `put-archive FILE:BYTES...`: uploads an archive of files of these sizes.
    PutArchive(Vec<(String, usize)>),
    /// `put-bootstrap VERSION`: uploads the bootstrap manifest of a worker of this version.
    PutBootstrap(String),
    /// `put-result STATUS`: uploads the result of the task that was downloaded, with this status.
    PutResult(String),
    /// `put-result-of NAME VERSION STATUS`: uploads the result for another package.
    PutResultOf(String, String, String),
    /// `put-task`: uploads a good result whose log is the task that was downloaded, in base64.
    PutTask,
    /// `put-large-result BYTES`: uploads a good result with a log of this size.
    PutLargeResult(usize),
    /// `put-cut-result STATUS`: uploads a result whose LZ4 frame is truncated.
    PutCutResult(String),
    /// `flood COUNT`: sends this many requests and other datagrams, and ignores all answers.
    Flood(usize),
    /// `await FILE`: waits until the file exists on the host.
    Await(String),
    /// `forward SOCKET`: forwards all frames to the process that listens at the socket; see
    /// [`crate::harness::namespace_guest`].
    Forward(String),
    /// `fill-disk`: writes more to the disk than fits on the host, and is paused.
    FillDisk,
    /// `install`: marks the disk as installed.
    Install,
    /// `spoil`: makes the disk unbootable.
    Spoil,
    /// `ignore-power`: ignores the power button from now on.
    IgnorePower,
    /// `await-power`: waits until the power button is pressed.
    AwaitPower,
    /// `event NAME [DATA]`: has the hypervisor send an event, with data without blanks.
    Event(String, Value),
    /// `kill SIGNAL`: has the hypervisor ended by a signal, such as `SIGKILL`.
    Kill(Signal),
    /// `unless FILE STEP`: performs the step, unless the file exists on the host.
    Unless(String, Box<Step>),
    /// `exit CODE`: ends with this exit code, and without the event `SHUTDOWN`.
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
            ["forward", socket] => Step::Forward(owned(socket)),
            ["fill-disk"] => Step::FillDisk,
            ["install"] => Step::Install,
            ["spoil"] => Step::Spoil,
            ["ignore-power"] => Step::IgnorePower,
            ["await-power"] => Step::AwaitPower,
            ["event", name] => Step::Event(owned(name), json!({})),
            ["event", name, data] => Step::Event(owned(name), serde_json::from_str(data)?),
            ["kill", signal] => Step::Kill(signal.parse()?),
            ["unless", file, ref step @ ..] => {
                Step::Unless(owned(file), Box::new(Step::parse(&step.join(" "))?))
            }
            ["exit", code] => Step::Exit(code.parse()?),
            _ => bail!("unknown step {line:?}"),
        })
    }
}

/// The first line of a disk on which nothing is installed.
const FRESH: &str = "fresh\n";
const INSTALLED: &str = "installed\n";

/// The script of a guest that bootstraps and builds successfully.
pub const SUCCESSFUL: &str = "fresh\n\
    first: get toolchain.sha256\n\
    first: put-bootstrap 0.16.0\n\
    first: install\n\
    later: get task.manifest\n\
    later: put upload.tar 10240\n\
    later: put-result success\n";

/// The script of a guest that bootstraps successfully and then, in a build, downloads its task and
/// does nothing more.
pub const SILENT: &str =
    "fresh\nfirst: put-bootstrap 0.16.0\nfirst: install\nlater: get task.manifest\n";

/// The script of a guest that bootstraps successfully and performs these steps in each build.
pub fn building(steps: &[&str]) -> String {
    let first = format!("{FRESH}first: put-bootstrap 0.16.0\nfirst: install\n");
    steps.iter().fold(first, |script, step| script + "later: " + step + "\n")
}

/// The script of a guest that performs these steps in each bootstrap.
pub fn bootstrapping(steps: &[&str]) -> String {
    steps.iter().fold(FRESH.to_owned(), |script, step| script + "first: " + step + "\n")
}

/// The steps of the next boot from the disk.
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
    use super::{SUCCESSFUL, Step, bootstrapping, building, installed, steps};

    #[test]
    fn an_installed_disk_has_other_steps_than_a_fresh_one() {
        let first = steps(SUCCESSFUL).unwrap();
        assert_eq!(first.last(), Some(&Step::Install));
        let later = steps(&installed(SUCCESSFUL)).unwrap();
        assert_eq!(later[0], Step::Get("task.manifest".to_owned()));
        assert_eq!(later[2], Step::PutResult("success".to_owned()));
        assert!(steps("x\n").is_err() && steps("fresh\nfirst: unknown\n").is_err());
    }

    #[test]
    fn scripts_are_made_of_steps() {
        let exit = [Step::Exit(3)];
        assert_eq!(steps(&installed(&building(&["exit 3"]))).unwrap(), exit);
        assert_eq!(steps(&building(&["exit 3"])).unwrap().len(), 2);
        assert_eq!(steps(&bootstrapping(&["exit 3"])).unwrap(), exit);
    }
}
