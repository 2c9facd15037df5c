//! `crash`: the agent is killed at random instants and at every effect in turn.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{setup, workspace};

/// Builds what the campaign needs and runs it.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    setup::ensure()?;
    workspace::build()?;
    let program = workspace::programs()?.join("bbot-crash");
    // The campaign replaces this process: its exit code is the command's.
    Err(Command::new(&program).arg("campaign").args(options).exec())
        .with_context(|| program.display().to_string())
}
