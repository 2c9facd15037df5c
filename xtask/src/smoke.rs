//! `smoke`: what only the real hypervisor and the real guest can show.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::failure::{Context as _, Outcome};
use crate::{house, image, setup};

/// Prepares everything and lets the farm of the tests run the smoke tests, or those of `names`.
pub(crate) fn run(names: &[&str]) -> Outcome<ExitCode> {
    setup::ensure()?;
    house::build()?;
    let folder = image::ensure()?;
    let program = house::programs()?.join("bbot-farm");
    let mut farm = Command::new(&program);
    farm.arg("smoke").arg("--image").arg(folder).args(names);
    // The farm takes our place: its exit code is the user's, and so is Ctrl-C.
    Err(farm.exec()).context(program.display())
}
