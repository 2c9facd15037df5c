//! Measures how fast manifests are parsed and written, in comparison with a limit.
//!
//! ```text
//! cargo run -p bbot-manifest --release --example bench -- \
//!     [--json FILE] [--rounds N] [--only CASE] [--once CASE] [--scaling]
//! ```
//!
//! The *limit* is to find all newlines (memchr) and then to check the UTF-8, of the same bytes in
//! the same run. Times are processor times. All cases are measured in turn, round after round; the
//! medians count. `--only parse/logs` runs that case and the limit only. `--once parse/logs` runs
//! that case once, on less input, and measures nothing: for `valgrind --tool=callgrind`, whose
//! counts of instructions tell two versions of the code apart independently of other processes.
//! `--scaling` shows instead how time and memory grow with the input.

mod cases;
mod clock;
mod inputs;
mod scaling;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use cases::Row;

struct Options {
    json: Option<String>,
    rounds: usize,
    only: Option<String>,
    once: Option<String>,
    scaling: bool,
}

fn options() -> Option<Options> {
    let mut options = Options { json: None, rounds: 7, only: None, once: None, scaling: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = Some(arguments.next()?),
            "--rounds" => options.rounds = arguments.next()?.parse().ok()?,
            "--only" => options.only = Some(arguments.next()?),
            "--once" => options.once = Some(arguments.next()?),
            "--scaling" => options.scaling = true,
            _ => return None,
        }
    }
    (options.rounds > 0).then_some(options)
}

fn main() -> ExitCode {
    let usage = || {
        let options = "[--json FILE] [--rounds N] [--only CASE] [--once CASE] [--scaling]";
        io::Error::other(format!("usage: bench {options}"))
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        // The arguments with which `--scaling` runs this program.
        Some((one, rest)) if one == "--one" => scaling::run_one(&mut io::stdout(), rest),
        _ => options().ok_or_else(usage).and_then(|options| run(&options)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // There is no other place for the message.
            writeln!(io::stderr(), "bench: {e}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if options.scaling {
        return scaling::run(&mut out);
    }
    if let Some(case) = &options.once {
        let inputs = [inputs::small(1 << 20), inputs::logs(8, 1 << 17)];
        let ran = inputs.iter().filter(|input| cases::run_once(input, case)).count();
        return if ran == 1 { Ok(()) } else { Err(io::Error::other(format!("no case {case}"))) };
    }
    let mut rows = Vec::new();
    for input in [inputs::small(64 << 20), inputs::logs(8, 1 << 20)] {
        rows.extend(cases::measure(&input, options.rounds, options.only.as_deref()));
    }
    writeln!(out, "{:24} {:>10} {:>9}", "case", "MB/s", "of limit")?;
    for Row { case, mb_per_s, of_limit } in &rows {
        writeln!(out, "{case:24} {mb_per_s:>10.1} {of_limit:>9.3}")?;
    }
    if let Some(file) = &options.json {
        let rows = rows.iter().map(
            |row| json!({ "case": row.case, "mb_per_s": row.mb_per_s, "of_limit": row.of_limit }),
        );
        let rows = rows.collect::<Vec<_>>();
        fs::write(file, format!("{:#}\n", json!({ "rows": rows })))?;
    }
    Ok(())
}
