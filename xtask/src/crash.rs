//! `crash`: the agent is killed at random instants and at every effect in turn.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::failure::{Context as _, Outcome};
use crate::{house, setup};

/// Prepares everything and lets the campaign begin.
pub(crate) fn run(options: &[&str]) -> Outcome<ExitCode> {
    setup::ensure()?;
    house::build()?;
    let program = house::programs()?.join("bbot-crash");
    // The campaign takes our place, and its exit code is the user's.
    Err(Command::new(&program).arg("campaign").args(options).exec()).context(program.display())
}
