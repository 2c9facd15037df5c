//! Versions, and where they are written.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, anyhow};

/// A version that is released: three numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u64; 3]);

impl Version {
    pub(super) fn next_patch(&self) -> Version {
        let [major, minor, patch] = self.0;
        Version([major, minor, patch + 1])
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Version> {
        let is_number = |part: &&str| {
            let is_plain = part.len() == 1 || !part.starts_with('0');
            is_plain && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let parts: Vec<_> = text.split('.').filter(is_number).collect();
        let numbers: Vec<_> = parts.iter().filter_map(|part| part.parse().ok()).collect();
        match <[u64; 3]>::try_from(numbers) {
            Ok(numbers) if text.split('.').count() == 3 => Ok(Version(numbers)),
            _ => Err(anyhow!("{text:?} is no version such as 1.2.3")),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The version of all crates, from the workspace's manifest.
pub(super) fn of_workspace(manifest: &str) -> Result<Version> {
    let section = manifest.lines().skip_while(|line| *line != "[workspace.package]").skip(1);
    let mut lines = section.take_while(|line| !line.starts_with('['));
    let version = lines.find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    let none = || anyhow!("Cargo.toml has no version in [workspace.package]");
    version.ok_or_else(none)?.parse()
}

/// The workspace's manifest with another version: its own, and those of its crates among the
/// dependencies.
pub(super) fn set_in_manifest(manifest: &str, version: &Version) -> Result<String> {
    let current = of_workspace(manifest)?;
    let own = format!("version = \"{current}\"");
    let new = format!("version = \"{version}\"");
    let is_ours = |line: &str| line == own || (line.contains("path = \"") && line.contains(&own));
    let line = |line: &str| if is_ours(line) { line.replace(&own, &new) } else { line.to_owned() };
    Ok(manifest.split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

/// Returns the lock file with another version of the packages without a source, which are those of
/// this workspace.
pub(super) fn set_in_lock(lock: &str, version: &Version) -> String {
    let package = |package: &str| {
        let is_ours = !package.contains("\nsource = ") && package.starts_with("[[package]]\n");
        let line = |line: &str| match line.strip_prefix("version = ") {
            Some(_) if is_ours => format!("version = \"{version}\""),
            _ => line.to_owned(),
        };
        package.split('\n').map(line).collect::<Vec<_>>().join("\n")
    };
    lock.split("\n\n").map(package).collect::<Vec<_>>().join("\n\n")
}
