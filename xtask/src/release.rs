//! `release`: all crates in step, from a clean tree to a tag. Nothing leaves this machine.
//!
//! A dry run is a release in a clone below the target folder: it does all of it, and shows it, and
//! the workspace stays as it is.

mod changelog;
mod version;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::failure::{Context as _, Failure, Outcome};
use crate::{check, command, house, say};

use self::version::Version;

/// The published crates, each after those that it depends on.
const CRATES: [&str; 6] =
    ["bbot-manifest", "bbot-lock", "bbot-btrfs", "bbot-tftp", "bbot-vm", "bbot-agent"];

/// Releases the workspace: `[--dry-run] [VERSION]`.
pub(crate) fn run(options: &[&str]) -> Outcome<ExitCode> {
    let is_dry = options.contains(&"--dry-run");
    let mut versions = options.iter().filter(|option| **option != "--dry-run");
    let (version, None) = (versions.next(), versions.next()) else {
        say(format_args!("Usage: cargo xtask release [--dry-run] [VERSION]"));
        return Ok(ExitCode::FAILURE);
    };
    let root = house::root();
    let version = next(root, version.copied())?;
    step(format_args!("clean tree"));
    check_clean(root)?;
    step(format_args!("check"));
    check::run()?;
    if is_dry {
        let clone = house::target()?.join("release-dry-run");
        make_clone(root, &clone)?;
        let released = release(&clone, &version, package);
        fs::remove_dir_all(&clone).context(clone.display())?;
        released?;
        step(format_args!("dry run: nothing has been changed"));
    } else {
        release(root, &version, package)?;
    }
    publishing(&version);
    Ok(ExitCode::SUCCESS)
}

fn step(what: std::fmt::Arguments<'_>) {
    say(format_args!("release: {what}"));
}

/// The version to release: the one that is asked for, else that of the workspace if it has not
/// been released, else the next patch of it.
fn next(root: &Path, asked: Option<&str>) -> Outcome<Version> {
    let manifest = read(&root.join("Cargo.toml"))?;
    let current = version::of_workspace(&manifest)?;
    let version = match asked {
        Some(asked) => asked.parse()?,
        None if has_tag(root, &current)? => current.next_patch(),
        None => current.clone(),
    };
    if version < current {
        return Err(Failure::new(format!("{version} is older than the workspace's {current}")));
    }
    if has_tag(root, &version)? {
        return Err(Failure::new(format!("{version} has been released: there is a tag")));
    }
    Ok(version)
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).context(path.display())
}

fn git(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(arguments);
    command
}

fn has_tag(root: &Path, version: &Version) -> Outcome<bool> {
    let listed = command::output(&mut git(root, &["tag", "--list", &format!("v{version}")]))?;
    Ok(!listed.is_empty())
}

fn check_clean(root: &Path) -> Outcome<()> {
    let changes = command::output(&mut git(root, &["status", "--porcelain"]))?;
    if changes.is_empty() {
        return Ok(());
    }
    let changes = String::from_utf8_lossy(&changes);
    Err(Failure::new(format!("the tree is not clean:\n{}", changes.trim_end())))
}

fn make_clone(root: &Path, clone: &Path) -> Outcome<()> {
    if clone.is_dir() {
        fs::remove_dir_all(clone).context(clone.display())?;
    }
    step(format_args!("dry run: in a clone, {}", clone.display()));
    let mut command = Command::new("git");
    command.args(["clone", "--quiet", "--no-hardlinks"]).arg(root).arg(clone);
    command::output(&mut command)?;
    // The commit there is by whoever would make it here.
    for name in ["user.name", "user.email"] {
        let value = command::output(&mut git(root, &["config", "--get", name]))?;
        let value = String::from_utf8_lossy(&value);
        command::output(&mut git(clone, &["config", name, value.trim_end()]))?;
    }
    Ok(())
}

/// Does it in `root`: versions, changelogs, packages, commit, tag. A step that fails leaves the
/// tree as it was.
fn release(
    root: &Path,
    version: &Version,
    package: impl FnOnce(&Path) -> Outcome<()>,
) -> Outcome<()> {
    let prepared = prepare(root, version).and_then(|()| {
        step(format_args!("packages, each after those that it depends on: {}", CRATES.join(", ")));
        package(root)
    });
    if prepared.is_err() {
        // The tree was clean: what is thrown away is ours.
        command::output(&mut git(root, &["checkout", "--quiet", "--", "."]))?;
    }
    prepared?;
    let diff = command::output(&mut git(root, &["diff", "--stat"]))?;
    say(format_args!("{}", String::from_utf8_lossy(&diff).trim_end()));
    step(format_args!("commit and tag v{version}"));
    let subject = format!("bbot-rs: Release {version}");
    command::output(&mut git(root, &["commit", "--quiet", "--all", "--message", &subject]))?;
    let tag = ["tag", "--annotate", &format!("v{version}"), "--message", &subject];
    command::output(&mut git(root, &tag)).map(drop)
}

/// Writes the version into manifests and lock file, and the heading into the changelogs.
fn prepare(root: &Path, version: &Version) -> Outcome<()> {
    step(format_args!("version {version} in Cargo.toml and Cargo.lock"));
    let edit = |file: &str, edit: &dyn Fn(&str) -> Outcome<String>| {
        let path = root.join(file);
        let text = edit(&read(&path)?).context(file)?;
        fs::write(&path, text).context(path.display())
    };
    edit("Cargo.toml", &|text| version::set_in_manifest(text, version))?;
    edit("Cargo.lock", &|text| Ok(version::set_in_lock(text, version)))?;
    let date = command::output(Command::new("date").args(["--utc", "+%F"]))?;
    let date = String::from_utf8_lossy(&date).trim().to_owned();
    for name in ["", "bbot-manifest/", "bbot-lock/", "bbot-btrfs/", "bbot-tftp/", "bbot-vm/"] {
        let file = format!("{name}CHANGELOG.md");
        step(format_args!("{file}: [{version}] - {date}"));
        edit(&file, &|text| changelog::release(text, version, &date))?;
    }
    Ok(())
}

/// Packs each crate, and builds it from its package.
fn package(root: &Path) -> Outcome<()> {
    let mut cargo = house::cargo(&["package", "--locked", "--allow-dirty"]);
    cargo.args(CRATES.iter().flat_map(|name| ["--package", name]));
    // What has been compiled for the workspace serves for its clone.
    cargo.current_dir(root).env("CARGO_TARGET_DIR", house::target()?);
    command::succeed(&mut cargo)
}

/// What is left to do, by whom it is told to do.
fn publishing(version: &Version) {
    step(format_args!("to publish it:"));
    say(format_args!("  git push origin HEAD v{version}"));
    for name in CRATES {
        say(format_args!("  cargo publish --locked --package {name}"));
    }
}

#[cfg(test)]
mod tests;
