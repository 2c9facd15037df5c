//! Where the workspace and what is built from it are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

/// Returns cargo's output folder of the profile of this program, which is that of development
/// builds of the workspace.
pub(crate) fn programs() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    own.parent().map(Path::to_owned).context("this program has no folder")
}

/// Cargo's output folder: what is made for the tests and the demo is kept below it.
pub(crate) fn target() -> Result<PathBuf> {
    let programs = programs()?;
    programs.parent().map(Path::to_owned).context("no target folder")
}

/// Returns a cargo command in the workspace's folder, of the cargo that runs this program.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Builds the programs of tests and demo in the development profile, which compiles in half the
/// time; the boots of guests dominate the run time of both.
pub(crate) fn build() -> Result<()> {
    crate::command::succeed(&mut cargo(&["build", "--workspace", "--locked"]))
}
