//! Measures what the agent costs: `bbot-bench [--json FILE]`.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bbot_tests::bench;
use bbot_tests::harness::programs::exit_code;

fn main() -> ExitCode {
    exit_code("bbot-bench", run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let json: Option<&OsString> = match &arguments[..] {
        [] => None,
        [option, file] if option == "--json" => Some(file),
        _ => bail!("usage: bbot-bench [--json FILE]"),
    };
    let mut out = std::io::stdout();
    let figures = bench::measure(|figure| Ok(writeln!(out, "{}", bench::line(figure))?))?;
    json.map_or(Ok(()), |file| bench::write(&figures, Path::new(file)))
}
