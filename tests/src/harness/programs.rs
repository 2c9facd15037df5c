//! Where the workspace's own programs lie.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The folder of the workspace's built programs: that of the running executable, or its parent
/// when the executable is a test, which cargo puts into `deps/`.
fn folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell the path of this program")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let is_test = folder.file_name().is_some_and(|name| name == "deps");
    let folder = if is_test { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.to_owned())
}

/// The exit code of the program `name`, which has ended with `outcome`; an error is printed.
pub fn exit_code(name: &str, outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        // It fails if standard error is closed: then the exit code alone reports the error.
        drop(writeln!(std::io::stderr(), "{name}: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The path of the program `name`, built by cargo into the same profile as the running one.
///
/// # Errors
/// If it is not there: with the command that builds it.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    if !path.is_file() {
        bail!("{} is not there: `cargo build --workspace` makes it", path.display());
    }
    Ok(path)
}

/// Where scratch folders go: `$TMPDIR`, or else `tmp` in cargo's target folder.
///
/// # Errors
/// If the folder cannot be made.
pub fn scratch_base() -> Result<PathBuf> {
    let base = match std::env::var_os("TMPDIR").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => folder()?.with_file_name("tmp"),
    };
    std::fs::create_dir_all(&base)
        .with_context(|| format!("cannot make the folder {}", base.display()))?;
    base.canonicalize().with_context(|| format!("cannot resolve {}", base.display()))
}

/// The folder with the real machine, its toolchain and packages: `$BBOT_FARM_IMAGE`, or made now.
///
/// # Errors
/// If it cannot be made.
pub fn image() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("BBOT_FARM_IMAGE") {
        return Ok(folder.into());
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "xtask", "--", "image"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo xtask image: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim_end().into())
}
