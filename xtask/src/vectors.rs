//! `vectors`: the manifest library against test vectors from outside.

use std::process::ExitCode;

use anyhow::Result;

use crate::{command, workspace};

/// Checks bbot-manifest against the vectors in a folder.
pub(crate) fn run(folder: &str) -> Result<ExitCode> {
    let mut cargo = workspace::cargo(&["run", "--release", "--locked", "--quiet"]);
    // Relative to the user's folder, not to the workspace's.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.into());
    cargo.args(["-p", "bbot-manifest", "--example", "vectors", "--"]).arg(folder);
    command::status(&mut cargo).map(command::exit_code)
}
