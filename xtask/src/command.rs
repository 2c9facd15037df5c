//! Programs that the commands run.

use std::env;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, Result, anyhow};

use crate::message;

/// Prints the command line, runs it, and returns its exit status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    announce(command);
    command.status().with_context(|| name(command))
}

/// Does the same as [`status`], but anything other than success is an error.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { Err(ended(command, status)) }
}

/// Runs a command silently and returns its standard output; its standard error becomes part of
/// the error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| name(command))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(anyhow!("{}\n{}", ended(command, output.status), why.trim_end()))
}

/// Prints the command line and runs it. Its output is copied to standard error and passed, line
/// by line, to `inspect`.
pub(crate) fn watch(mut command: Command, mut inspect: impl FnMut(&str)) -> Result<ExitStatus> {
    announce(&command);
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let both = writer.try_clone().context("cannot make a pipe")?;
    let mut child = command.stdout(writer).stderr(both).spawn().with_context(|| name(&command))?;
    // The command holds the writing ends: as long as it exists, the reader waits.
    drop(command);
    for text in BufReader::new(reader).split(b'\n') {
        let text = text.context("cannot read what a command prints")?;
        let text = String::from_utf8_lossy(&text);
        message::print(format_args!("{text}"));
        inspect(&text);
    }
    child.wait().context("cannot wait for a command")
}

/// Returns the command of a program that may be in `/usr/sbin`, outside of the PATH of users.
pub(crate) fn tool(name: &str) -> Command {
    let path = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Returns the exit code that stands for the exit status of a program.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    // As a shell does: 128 and the signal's number.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn announce(command: &Command) {
    let mut words = vec![String::from("$")];
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    words.extend(set.map(|(name, value)| format!("{}={}", name.display(), value.display())));
    words.push(name(command));
    words.extend(command.get_args().map(|argument| argument.display().to_string()));
    message::print(format_args!("{}", words.join(" ")));
}

/// Returns the program's name without its folder.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).display().to_string()
}

fn ended(command: &Command, status: ExitStatus) -> anyhow::Error {
    anyhow!("{}: {status}", name(command))
}
