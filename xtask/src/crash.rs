//! `crash`: the agent is killed at random instants and at every effect in turn.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{setup, workspace};

/// Prepares everything and lets the campaign begin.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    setup::ensure()?;
    workspace::build()?;
    let program = workspace::programs()?.join("bbot-crash");
    // The campaign takes our place, and its exit code is the user's.
    Err(Command::new(&program).arg("campaign").args(options).exec())
        .with_context(|| program.display().to_string())
}
