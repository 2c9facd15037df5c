//! `image`: the machine that tests and demo boot, made from Debian packages and `tests/guest`.
//!
//! What comes out is kept below the target folder under a name that is a hash of everything that
//! went in, so it is made anew exactly when it would differ.

mod debian;
mod disk;
mod hash;
mod initramfs;
mod repository;
mod toolchain;
mod tree;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use crate::failure::{Context as _, Outcome};
use crate::{house, say, setup};
use debian::{Archive, Debian};

/// The machine's name, as controllers know it.
const MACHINE: &str = "linux_debian_12-tcc_0.9";

/// The command `image`.
pub(crate) fn run(options: &[&str]) -> Outcome<ExitCode> {
    let folder = match options {
        [] => ensure()?,
        ["--out", folder] => {
            let folder = PathBuf::from(folder);
            tree::copy(&ensure()?, &folder)?;
            folder
        }
        _ => {
            say(format_args!("Usage: cargo xtask image [--out DIR]"));
            return Ok(ExitCode::FAILURE);
        }
    };
    writeln!(io::stdout(), "{}", folder.display()).context("cannot print the folder")?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the image unless it is there, and returns its folder.
pub(crate) fn ensure() -> Outcome<PathBuf> {
    setup::ensure()?;
    let archive = Archive::new(house::target()?.join("farm/archive"))?;
    let debian = Debian::find(&archive)?;
    let inputs = inputs(&debian)?;
    let farm = house::target()?.join("farm");
    let folder = farm.join(&hash::of(inputs.as_bytes())[..16]);
    if folder.is_dir() {
        return Ok(folder);
    }
    say(format_args!("Making the test machine {MACHINE}"));
    let work = farm.join(format!("new-{}", process::id()));
    tree::make(&work)?;
    let made = make(&archive, &debian, &work).and_then(|()| {
        let made = work.join("made");
        fs::write(made.join("inputs"), &inputs).context("cannot note the inputs")?;
        publish(&made, &folder)
    });
    fs::remove_dir_all(&work).context(work.display())?;
    made.map(|()| folder)
}

/// Everything that the result depends on, a line each.
fn inputs(debian: &Debian) -> Outcome<String> {
    let sources =
        [guest(), house::root().join("xtask/src/image.rs"), house::root().join("xtask/src/image")];
    let mut lines = debian.lines();
    for source in sources {
        lines.extend(hash::tree(&source, house::root())?);
    }
    Ok(lines.concat())
}

/// The folder with the parts of the machine that are ours.
fn guest() -> PathBuf {
    house::root().join("tests/guest")
}

fn make(archive: &Archive, debian: &Debian, work: &Path) -> Outcome<()> {
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
    tree::copy_file(&guest().join("root/etc/network"), &made.join("network"))
}

/// Gives the finished folder its name. Of two that make the same one at a time, the first wins.
fn publish(made: &Path, folder: &Path) -> Outcome<()> {
    match fs::rename(made, folder) {
        Err(_) if folder.is_dir() => Ok(()),
        result => result.context(folder.display()),
    }
}
