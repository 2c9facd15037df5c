//! `image`: the machine that tests and demo boot, made from Debian packages and `tests/guest`.
//!
//! The image is kept below the target folder under a name that is a hash of everything that it
//! depends on, so it is made again exactly when it would differ.

mod debian;
mod disk;
pub(crate) mod hash;
mod initramfs;
mod repository;
mod toolchain;
mod tree;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::{Context as _, Result};

use crate::{message, setup, workspace};
use debian::{Archive, Debian};

/// The machine's name, as controllers know it.
const MACHINE: &str = "linux_debian_12-tcc_0.9";

/// The command `image`.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    let folder = match options {
        [] => ensure()?,
        ["--out", folder] => {
            let folder = PathBuf::from(folder);
            tree::copy(&ensure()?, &folder)?;
            folder
        }
        _ => {
            message::print(format_args!("Usage: cargo xtask image [--out DIR]"));
            return Ok(ExitCode::FAILURE);
        }
    };
    writeln!(io::stdout(), "{}", folder.display()).context("cannot print the folder")?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the image unless it exists, and returns its folder.
pub(crate) fn ensure() -> Result<PathBuf> {
    setup::ensure()?;
    let farm = workspace::target()?.join("farm");
    let archive = Archive::new(farm.join("archive"))?;
    let mut debian = Debian::find(&archive)?;
    if folder(&farm, &debian)?.is_dir() {
        return folder(&farm, &debian);
    }
    message::print(format_args!("Making the test machine {MACHINE}"));
    if archive.fetch_all(&debian).is_err() {
        // Old package lists name what the mirror no longer has.
        setup::refresh_package_lists()?;
        debian = Debian::find(&archive)?;
        archive.fetch_all(&debian)?;
    }
    let folder = folder(&farm, &debian)?;
    sweep(&farm)?;
    let work = farm.join(format!("new-{}", process::id()));
    tree::make(&work)?;
    let made = make(&archive, &debian, &work).and_then(|made| publish(&made, &folder));
    fs::remove_dir_all(&work).with_context(|| work.display().to_string())?;
    made.map(|()| folder)
}

/// The folder of the image that is made from these parts of Debian.
fn folder(farm: &Path, debian: &Debian) -> Result<PathBuf> {
    Ok(farm.join(&hash::of(inputs(debian)?.as_bytes())[..16]))
}

/// Removes the work folders of processes that have ended.
fn sweep(farm: &Path) -> Result<()> {
    for entry in fs::read_dir(farm).with_context(|| farm.display().to_string())? {
        let entry = entry.with_context(|| farm.display().to_string())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(builder) = name.strip_prefix("new-") else { continue };
        if !Path::new("/proc").join(builder).is_dir() {
            fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}

/// The files of this repository that the image depends on.
const SOURCES: &[&str] = &[
    "tests/guest/boot",
    "tests/guest/root",
    "tests/guest/toolchain",
    "xtask/src/image",
    "xtask/src/image.rs",
];

/// Returns one line for each thing that the image depends on.
fn inputs(debian: &Debian) -> Result<String> {
    let mut lines = debian.lines();
    for source in SOURCES {
        lines.extend(hash::tree(&workspace::root().join(source), workspace::root())?);
    }
    Ok(lines.concat())
}

/// Returns the folder of the machine's files in this repository.
fn guest() -> PathBuf {
    workspace::root().join("tests/guest")
}

/// Makes everything, and returns the folder that it is in.
fn make(archive: &Archive, debian: &Debian, work: &Path) -> Result<PathBuf> {
    let packages = archive.unpack(debian, &work.join("packages"))?;
    let made = work.join("made");
    repository::make(&archive.fetch(&debian.source)?, work, &made.join("repository"))?;
    toolchain::make(&packages, work, &made.join("toolchain"))?;
    let machine = made.join("machine");
    disk::make(&packages, work, &machine.join("disk.img"))?;
    let id = hash::file(&machine.join("disk.img"))?;
    let manifest = format!(
        ": 1\nid: {id}\nname: {MACHINE}\nsummary: Linux Debian 12 with tcc 0.9.27 and musl 1.2.3\n\
         type: kvm\nchanges: Made by cargo xtask image.\n"
    );
    fs::write(machine.join("manifest"), manifest).context("cannot write the machine manifest")?;
    tree::copy_file(&guest().join("root/etc/network"), &made.join("network"))?;
    fs::write(made.join("inputs"), inputs(debian)?).context("cannot note the inputs")?;
    Ok(made)
}

/// Gives the finished folder its name. Of two that make the same one at a time, the first wins.
fn publish(made: &Path, folder: &Path) -> Result<()> {
    match fs::rename(made, folder) {
        Err(_) if folder.is_dir() => Ok(()),
        result => result.with_context(|| folder.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Returns the output of a program of the worker for a text.
    fn awk(program: &str, text: &str) -> String {
        let mut awk = Command::new("busybox");
        awk.args(["awk", "-f"]).arg(guest().join("root/usr/lib/worker").join(program));
        let mut awk = awk.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        awk.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(awk.wait_with_output().unwrap().stdout).unwrap()
    }

    fn pairs(text: &str) -> String {
        awk("manifest.awk", text)
    }

    #[test]
    fn the_worker_writes_values_that_are_read_as_they_were() {
        let text = "a\n\n\\\nb\\\nc \\\\\n : 1\n";
        let value = awk("value.awk", text);
        assert_eq!(value, "\\\na\n\n\\\\\nb\\\\\nc \\\\\\\n : 1\n\\\n");
        let read = pairs(&format!(": 1\nlog:\n{value}next: x\n"));
        assert_eq!(read, "1\tlog\ta  \\ b\\ c \\\\  : 1\n1\tnext\tx\n");
        // A text without a final newline and an empty text are complete values too.
        assert_eq!(awk("value.awk", "a"), "\\\na\n\\\n");
        assert_eq!(awk("value.awk", ""), "\\\n\\\n");
    }

    #[test]
    fn the_worker_reads_values_of_every_form() {
        let simple = "# comment\n: 1\n\n name : zlib \nempty:\nlast: a:b#c";
        assert_eq!(pairs(simple), "1\tname\tzlib\n1\tempty\t\n1\tlast\ta:b#c\n");
        let wrapped = ": 1\nurl: http://a\\\n/b\\\n c\nend: x\\\\\nbreak: x\\\n\\\ny\n";
        assert_eq!(pairs(wrapped), "1\turl\thttp://a/b c\n1\tend\tx\\\n1\tbreak\tx y\n");
        // Both introducers, and an end that is missing.
        let lines = ": 1\nnew:\n\\\n1\\\n2\n3\n\\\nold:\\\n# 1\n\\\n:\nopen:\\\n: 1\n";
        assert_eq!(pairs(lines), "1\tnew\t12 3\n1\told\t# 1\n2\topen\t: 1\n");
    }

    #[test]
    fn every_source_of_the_image_is_there_and_counts() {
        let debian = Debian::sample();
        let inputs = inputs(&debian).unwrap();
        for name in ["boot/init", "usr/bin/worker", "toolchain/cc", "image/disk.rs", "image.rs"] {
            assert!(inputs.lines().any(|line| line.ends_with(name)), "{name}");
        }
        assert!(inputs.contains(" program tests/guest/root/usr/bin/worker\n"));
    }
}
