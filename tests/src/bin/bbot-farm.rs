//! The farm's program.
//!
//! * `example` makes an empty farm, says how it can be entered, and puts it away at the end of
//!   its standard input.
//! * `hold` and `init` are the processes of a farm, started by the library.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bbot_tests::farm::Farm;

const USAGE: &str = "usage: bbot-farm example | hold FOLDER | init";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if even the message cannot be written.
            drop(writeln!(std::io::stderr(), "bbot-farm: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    match words.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        ["hold", _] => bbot_tests::farm::hold(Path::new(&arguments[1])),
        ["init"] => bbot_tests::farm::init(),
        ["example"] => example(),
        _ => bail!("{USAGE}"),
    }
}

fn example() -> Result<()> {
    let farm = Farm::start()?;
    let mut out = std::io::stdout();
    writeln!(out, "{}\n{}", farm.holder_pid(), farm.scratch().display())?;
    writeln!(out, "{}", farm.init_pid())?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    farm.end()
}
