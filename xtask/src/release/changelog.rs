//! Changelogs: <https://keepachangelog.com>.

use anyhow::{Result, bail};

use super::version::Version;

const UNRELEASED: &str = "## [Unreleased]\n";

/// Puts a heading of this release above what was not released, and an empty section before it.
pub(super) fn release(text: &str, version: &Version, date: &str) -> Result<String> {
    let Some((before, after)) = text.split_once(UNRELEASED) else {
        bail!("no heading [Unreleased]");
    };
    Ok(format!("{before}{UNRELEASED}\n## [{version}] - {date}\n{after}"))
}
