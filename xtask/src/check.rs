//! `check`: what a change must pass in addition to the tests.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{command, message, setup, tidy, workspace};

/// The packages that are not published.
const PRIVATE: [&str; 2] = ["xtask", "bbot-tests"];

/// Runs one check after the other, up to the first that fails.
pub(crate) fn run() -> Result<ExitCode> {
    setup::ensure()?;
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    let mut doc =
        workspace::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    command::succeed(doc.arg("--locked").env("RUSTDOCFLAGS", "-D warnings"))?;
    message::print(format_args!("$ tidy"));
    tidy()?;
    // Work that is not committed yet may be checked too.
    let mut package = workspace::cargo(&["package", "--workspace", "--locked", "--allow-dirty"]);
    command::succeed(package.args(PRIVATE.iter().flat_map(|name| ["--exclude", name])))?;
    Ok(ExitCode::SUCCESS)
}

fn cargo(arguments: &[&str]) -> Result<()> {
    command::succeed(&mut workspace::cargo(arguments))
}

/// The command `tidy`, the quickest of the checks.
pub(crate) fn tidy() -> Result<ExitCode> {
    let findings = tidy::findings()?;
    for finding in &findings {
        message::print(format_args!("{finding}"));
    }
    match findings.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => bail!("{count} findings"),
    }
}
