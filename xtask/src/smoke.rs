//! `smoke`: what only the real hypervisor and the real guest can show.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{image, setup, workspace};

/// Builds what the smoke tests need and runs all of them, or those of `names`.
pub(crate) fn run(names: &[&str]) -> Result<ExitCode> {
    setup::ensure()?;
    workspace::build()?;
    let folder = image::ensure()?;
    let program = workspace::programs()?.join("bbot-farm");
    let mut farm = Command::new(&program);
    farm.arg("smoke").arg("--image").arg(folder).args(names);
    // The farm replaces this process: its exit code is the command's.
    Err(farm.exec()).with_context(|| program.display().to_string())
}
