//! Changelogs: <https://keepachangelog.com>.

use super::version::Version;
use crate::failure::{Failure, Outcome};

const UNRELEASED: &str = "## [Unreleased]\n";

/// Puts a heading of this release above what was not released, and an empty section before it.
pub(super) fn release(text: &str, version: &Version, date: &str) -> Outcome<String> {
    let Some((before, after)) = text.split_once(UNRELEASED) else {
        return Err(Failure::new("no heading [Unreleased]"));
    };
    Ok(format!("{before}{UNRELEASED}\n## [{version}] - {date}\n{after}"))
}
