//! The farm's program.
//!
//! * `demo` does the system's whole job once, on real parts, and shows it.
//! * `smoke` runs the smoke tests, all or those with these names.
//! * `example` makes an empty farm, prints the pid of its holder, its folder and the pid of its
//!   init, and removes it at the end of its standard input.
//! * `hold` and `init` are the processes of a farm, started by the library.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bbot_tests::demo::{DemoOptions, show, smoke};
use bbot_tests::harness::farm::Farm;
use bbot_tests::harness::programs::exit_code;

const USAGE: &str = "usage: bbot-farm demo --image FOLDER [--report FILE] [--keep]
       bbot-farm smoke --image FOLDER [NAME...]
       bbot-farm example | hold FOLDER | init";

fn main() -> ExitCode {
    exit_code("bbot-farm", run().map(|()| ExitCode::SUCCESS))
}

fn run() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    match words.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        ["hold", _] => bbot_tests::harness::farm::hold(Path::new(&arguments[1])),
        ["init"] => bbot_tests::harness::farm::init(),
        ["example"] => example(),
        ["smoke", "--image", _, ..] => {
            let names = words[3..].iter().map(ToString::to_string).collect::<Vec<_>>();
            smoke::smoke(Path::new(&arguments[2]), &names)
        }
        ["demo", ..] => show(&demo_options(&arguments[1..])?),
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

fn demo_options(arguments: &[OsString]) -> Result<DemoOptions> {
    let (mut image, mut report, mut keep) = (None, None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--image") => image = arguments.next(),
            Some("--report") => report = arguments.next(),
            Some("--keep") => keep = true,
            _ => bail!("unknown argument {}\n{USAGE}", argument.display()),
        }
    }
    let image = image.with_context(|| format!("no image\n{USAGE}"))?.into();
    let report = report.map_or_else(|| "target/demo/report.json".into(), Into::into);
    Ok(DemoOptions { image, report, keep })
}
