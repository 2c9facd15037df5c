//! The project's own commands, run as `cargo xtask NAME`.
//!
//! Everything that these commands need beyond the Rust toolchain is installed by the first of
//! them, `setup`; so this program has few dependencies, and needs no system library itself.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod command;
mod crash;
mod demo;
mod dist;
mod image;
mod message;
mod release;
mod setup;
mod smoke;
mod test;
mod tidy;
mod vectors;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

const HELP: &str = "\
Usage: cargo xtask COMMAND [ARGUMENTS]

  setup           install the Debian packages that building and testing need
  image           build the test machine's image, its toolchain and its packages; print their folder
                    [--out DIR]   put them there instead of the cache below target/
  demo            bootstrap a machine, build packages in it and report to a controller, once
                    [--keep]      keep the scratch farm for an inspection
  test            set up, build, and run every test; ARGUMENTS select tests
  smoke           the tests that need a real guest, one line for each; ARGUMENTS select by name
  crash           kill the agent at random instants and check that no result is lost
                    [--runs N] [--seed S] [--jobs J]   each run adds 1 to the seed
  check           formatting, lints, documentation, tidy, packages
  tidy            the rules of this workspace alone: citations, imports, system calls and others
  bench NAME      measure; NAME is agent, manifest or tftp
  dist            pack what an operator installs: program, manual page, completions, unit
  release         check, set the version of all crates, package and tag; publishes nothing
                    [--dry-run]   do it in a clone, and change nothing here
                    [VERSION]     instead of the next patch version
  vectors DIR     check bbot-manifest against the test vectors in DIR
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            message::print(format_args!("xtask: {failure:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<ExitCode> {
    match arguments {
        ["setup"] => setup::run(),
        ["image", options @ ..] => image::run(options),
        ["demo", options @ ..] => demo::run(options),
        ["test", selection @ ..] => test::run(selection),
        ["smoke", names @ ..] => smoke::run(names),
        ["crash", options @ ..] => crash::run(options),
        ["check"] => check::run(),
        ["tidy"] => check::tidy(),
        ["bench", name, options @ ..] => bench::run(name, options),
        ["dist"] => dist::run(),
        ["release", options @ ..] => release::run(options),
        ["vectors", folder] => vectors::run(folder),
        [] | ["help" | "--help" | "-h"] => {
            message::print(format_args!("{}", HELP.trim_end()));
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            message::print(format_args!(
                "xtask: no such command: {}\n\n{}",
                arguments.join(" "),
                HELP.trim_end()
            ));
            Ok(ExitCode::FAILURE)
        }
    }
}
