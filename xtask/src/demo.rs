//! `demo`: the whole system bootstraps a machine and builds packages once, on real parts.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{image, message, setup, workspace};

/// What the demo needs root for; shown to a user without it.
const WHY_ROOT: &str = "\
cargo xtask demo needs root, and this is what it does with it:

  - mounts a btrfs volume from a sparse file of its own (the machines live in it);
  - makes a network namespace of its own with a bridge, a tap and packet filter rules
    (nothing outside that namespace is touched, and no address of yours is used);
  - starts QEMU, as an unprivileged user, with that tap;
  - installs missing Debian packages (`cargo xtask setup` lists them and why).

Everything is in one scratch folder and is gone when the demo ends.
In a throw-away machine or container with all capabilities, for example:

  sudo --preserve-env=PATH,HOME cargo xtask demo
";

/// Builds what the demo needs and runs it by the program `bbot-farm`.
pub(crate) fn run(options: &[&str]) -> Result<ExitCode> {
    if options.iter().any(|option| *option != "--keep") {
        message::print(format_args!("Usage: cargo xtask demo [--keep]"));
        return Ok(ExitCode::FAILURE);
    }
    if !setup::is_root()? {
        message::print(format_args!("{WHY_ROOT}"));
        return Ok(ExitCode::FAILURE);
    }
    setup::ensure()?;
    workspace::build()?;
    let folder = image::ensure()?;
    let report = workspace::target()?.join("demo/report.json");
    let program = workspace::programs()?.join("bbot-farm");
    let mut farm = Command::new(&program);
    farm.arg("demo").arg("--image").arg(folder).arg("--report").arg(report).args(options);
    // The farm replaces this process (as it replaced cargo's): its exit code is the command's, and
    // after Ctrl-C the shell waits until the farm has cleaned up.
    Err(farm.exec()).with_context(|| program.display().to_string())
}
