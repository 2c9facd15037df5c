//! Runs folders of test vectors through the public API.
//!
//! `cargo run -p bbot-manifest --release --example vectors -- DIR` prints `FILE: passed/total` for
//! each file of the folder and the first five differences. It exits with 1 unless all pass.

mod constraints;
mod parsing;
mod runner;
mod serializing;
mod values;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// The number of differences that are printed.
const SHOWN: usize = 5;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        return complain("usage: vectors DIR");
    };
    match run(Path::new(&folder)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => complain(&format!("vectors: {}: {e}", Path::new(&folder).display())),
    }
}

fn complain(message: &str) -> ExitCode {
    // There is no other place for the message.
    writeln!(io::stderr(), "{message}").unwrap_or_default();
    ExitCode::FAILURE
}

/// Runs all files; returns whether all vectors pass.
fn run(folder: &Path) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let (mut all_pass, mut shown) = (true, 0);
    for report in runner::run_folder(folder)? {
        writeln!(out, "{}: {}/{}", report.file, report.passed, report.total)?;
        all_pass &= report.passed == report.total;
        for difference in &report.differences {
            if shown < SHOWN {
                writeln!(out, "{difference}")?;
                shown += 1;
            }
        }
    }
    Ok(all_pass)
}
