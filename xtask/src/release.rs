//! `release`: one version for all crates, from a clean tree to a tag. Nothing is published.
//!
//! A dry run is a release in a clone below the target folder: all steps
//! are done and shown, and the workspace is not changed.

mod changelog;
mod version;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{check, command, message, workspace};

use self::version::Version;

/// The published crates, each after those that it depends on.
const CRATES: [&str; 6] =
    ["bbot-manifest", "bbot-lock", "bbot-btrfs", "bbot-tftp", "bbot-vm", "bbot-agent"];

/// Releases the workspace: `[--dry-run] [VERSION]`.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    let is_dry = options.contains(&"--dry-run");
    let mut versions = options.iter().filter(|option| **option != "--dry-run");
    let (version, None) = (versions.next(), versions.next()) else {
        message::print(format_args!("Usage: cargo xtask release [--dry-run] [VERSION]"));
        return Ok(ExitCode::FAILURE);
    };
    let root = workspace::root();
    let version = next(root, version.copied())?;
    step(format_args!("clean tree"));
    check_clean(root)?;
    step(format_args!("check"));
    check::run()?;
    if is_dry {
        let clone = workspace::target()?.join("release-dry-run");
        make_clone(root, &clone)?;
        let released = release(&clone, &version, package);
        fs::remove_dir_all(&clone).with_context(|| clone.display().to_string())?;
        released?;
        step(format_args!("dry run: nothing has been changed"));
    } else {
        release(root, &version, package)?;
    }
    publishing(&version);
    Ok(ExitCode::SUCCESS)
}

fn step(what: std::fmt::Arguments<'_>) {
    message::print(format_args!("release: {what}"));
}

/// The version to release: the one that is asked for, else that of the workspace if it has not
/// been released, else the next patch of it.
fn next(root: &Path, asked: Option<&str>) -> Result<Version> {
    let manifest = read(&root.join("Cargo.toml"))?;
    let current = version::of_workspace(&manifest)?;
    let version = match asked {
        Some(asked) => asked.parse()?,
        None if has_tag(root, &current)? => current.next_patch(),
        None => current.clone(),
    };
    if version < current {
        bail!("{version} is older than the workspace's {current}");
    }
    if has_tag(root, &version)? {
        bail!("{version} has been released: there is a tag");
    }
    Ok(version)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn git(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(arguments);
    command
}

fn has_tag(root: &Path, version: &Version) -> Result<bool> {
    let listed = command::output(&mut git(root, &["tag", "--list", &format!("v{version}")]))?;
    Ok(!listed.is_empty())
}

fn check_clean(root: &Path) -> Result<()> {
    let changes = command::output(&mut git(root, &["status", "--porcelain"]))?;
    if changes.is_empty() {
        return Ok(());
    }
    let changes = String::from_utf8_lossy(&changes);
    Err(anyhow!("the tree is not clean:\n{}", changes.trim_end()))
}

fn make_clone(root: &Path, clone: &Path) -> Result<()> {
    if clone.is_dir() {
        fs::remove_dir_all(clone).with_context(|| clone.display().to_string())?;
    }
    step(format_args!("dry run: in a clone, {}", clone.display()));
    let mut command = Command::new("git");
    command.args(["clone", "--quiet", "--no-hardlinks"]).arg(root).arg(clone);
    command::output(&mut command)?;
    // The author of the commit in the clone is the author here.
    for name in ["user.name", "user.email"] {
        let value = command::output(&mut git(root, &["config", "--get", name]))?;
        let value = String::from_utf8_lossy(&value);
        command::output(&mut git(clone, &["config", name, value.trim_end()]))?;
    }
    Ok(())
}

/// Releases the tree in `root`: versions, changelogs, packages, commit, tag. If a step fails, the
/// tree is restored.
fn release(
    root: &Path,
    version: &Version,
    package: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let prepared = prepare(root, version).and_then(|()| {
        step(format_args!("packages, each after those that it depends on: {}", CRATES.join(", ")));
        package(root)
    });
    if prepared.is_err() {
        // The tree was clean, so only changes of this function are discarded.
        command::output(&mut git(root, &["checkout", "--quiet", "--", "."]))?;
    }
    prepared?;
    let diff = command::output(&mut git(root, &["diff", "--stat"]))?;
    message::print(format_args!("{}", String::from_utf8_lossy(&diff).trim_end()));
    step(format_args!("commit and tag v{version}"));
    let subject = format!("bbot-rs: Release {version}");
    command::output(&mut git(root, &["commit", "--quiet", "--all", "--message", &subject]))?;
    let tag = ["tag", "--annotate", &format!("v{version}"), "--message", &subject];
    command::output(&mut git(root, &tag)).map(drop)
}

/// Writes the version into manifests and lock file, and the heading into the changelogs.
fn prepare(root: &Path, version: &Version) -> Result<()> {
    step(format_args!("version {version} in Cargo.toml and Cargo.lock"));
    let edit = |file: &str, edit: &dyn Fn(&str) -> Result<String>| {
        let path = root.join(file);
        let text = edit(&read(&path)?).with_context(|| file.to_owned())?;
        fs::write(&path, text).with_context(|| path.display().to_string())
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
fn package(root: &Path) -> Result<()> {
    let mut cargo = workspace::cargo(&["package", "--locked", "--allow-dirty"]);
    cargo.args(CRATES.iter().flat_map(|name| ["--package", name]));
    // The clone uses what has been compiled for the workspace.
    cargo.current_dir(root).env("CARGO_TARGET_DIR", workspace::target()?);
    command::succeed(&mut cargo)
}

/// The commands that publish the release; the operator runs them.
fn publishing(version: &Version) {
    step(format_args!("to publish it:"));
    message::print(format_args!("  git push origin HEAD v{version}"));
    for name in CRATES {
        message::print(format_args!("  cargo publish --locked --package {name}"));
    }
}

#[cfg(test)]
mod tests;
