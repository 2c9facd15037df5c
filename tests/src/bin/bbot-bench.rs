//! Measures what the agent costs: `bbot-bench [--json FILE]`.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if even the message cannot be written.
            drop(writeln!(std::io::stderr(), "bbot-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let json: Option<&OsString> = match &arguments[..] {
        [] => None,
        [option, file] if option == "--json" => Some(file),
        _ => bail!("usage: bbot-bench [--json FILE]"),
    };
    let figures = bbot_tests::bench::measure()?;
    std::io::stdout().write_all(figures.table().as_bytes())?;
    json.map_or(Ok(()), |file| figures.write(Path::new(file)))
}
