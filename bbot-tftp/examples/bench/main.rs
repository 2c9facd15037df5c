//! This server and those of others, side by side in one run, with the bound of raw UDP.
//!
//! `bench [--rounds N] [--json FILE] [--only WORD] [--server WORD,...]`
//!
//! The words pick cases and servers. It has to run as root: dnsmasq's port is 69, and the CPU
//! time is counted by control groups.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program speaks to its user.
#![allow(clippy::unwrap_used)] // A bench that cannot go on has failed.
#![allow(clippy::cast_precision_loss)] // Figures for humans.

mod bound;
mod crowd;
mod load;
mod lossy;
#[path = "../../tests/peers/mod.rs"]
mod peers;
mod report;
mod servers;

use std::time::Duration;

use load::Shape;
use report::{Figure, Report};
use servers::Rival;

const BIG: usize = 64 << 20;

/// One line of the table: what is transferred, and how.
struct Case {
    name: &'static str,
    run: fn(&Rival) -> Result<Figure, String>,
    /// Peers are too slow or too wrong for more than one round of it.
    once: bool,
}

const W64: Shape = Shape { block: Some(1428), window: Some(64) };
const W16: Shape = Shape { block: Some(1428), window: Some(16) };
const LOCKSTEP: Shape = Shape { block: Some(1428), window: None };
const JUMBO: Shape = Shape { block: Some(65464), window: Some(16) };
const JUMBO_LOCKSTEP: Shape = Shape { block: Some(65464), window: None };

const CASES: &[Case] = &[
    Case { name: "GET 64 MiB, 1428, window 64", run: |r| load::get(r, BIG, W64), once: false },
    Case { name: "PUT 64 MiB, 1428, window 64", run: |r| load::put(r, BIG, W64), once: false },
    Case { name: "GET 64 MiB, 1428, window 16", run: |r| load::get(r, BIG, W16), once: false },
    Case { name: "PUT 64 MiB, 1428, window 16", run: |r| load::put(r, BIG, W16), once: false },
    Case { name: "GET 64 MiB, 1428, lockstep", run: |r| load::get(r, BIG, LOCKSTEP), once: false },
    Case { name: "PUT 64 MiB, 1428, lockstep", run: |r| load::put(r, BIG, LOCKSTEP), once: false },
    Case { name: "PUT 64 MiB, 65464, window 16", run: |r| load::put(r, BIG, JUMBO), once: false },
    Case {
        name: "PUT 64 MiB, 65464, lockstep",
        run: |r| load::put(r, BIG, JUMBO_LOCKSTEP),
        once: false,
    },
    Case { name: "256 x GET 256 KiB, lockstep", run: |r| load::crowd(r, LOCKSTEP), once: false },
    Case { name: "256 x GET 256 KiB, window 16", run: |r| load::crowd(r, W16), once: false },
    Case { name: "256 x GET 256 KiB, window 64", run: |r| load::crowd(r, W64), once: false },
    Case { name: "GET 1 KiB, latency", run: |r| load::latency(r, 2000), once: false },
    Case { name: "256 x PUT 256 KiB at once", run: load::uploads, once: true },
    Case { name: "GET 256 KiB, 5 % loss", run: |r| lossy::runs(r, 20), once: true },
];

fn main() -> std::process::ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), String> {
    let mut arguments = arguments.into_iter();
    let (mut rounds, mut json, mut only, mut server) = (5, None, String::new(), String::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--rounds" => rounds = value()?.parse().map_err(|e| format!("--rounds: {e}"))?,
            "--json" => json = Some(value()?),
            "--only" => only = value()?,
            "--server" => server = value()?,
            // What `--bench` of a harness passes has no meaning here.
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    servers::raise_descriptor_limit();
    let mut report = Report::new(rounds);
    if only.is_empty() || "raw UDP".contains(&only) {
        report.add("raw UDP, ping-pong 1432 / 4 bytes", "bound", &Ok(bound::ping_pong()));
        report.add("raw UDP, one way by UDP_SEGMENT", "bound", &Ok(bound::one_way()));
    }
    for case in CASES.iter().filter(|case| case.name.contains(&only)) {
        run_case(case, rounds, &server, &mut report);
    }
    println!("\n{}", report.table());
    if let Some(path) = json {
        std::fs::write(&path, report.json()).map_err(|e| format!("cannot write {path}: {e}"))?;
    }
    Ok(())
}

/// All servers in turn, round after round, so that each sees the same machine.
fn run_case(case: &Case, rounds: u32, server: &str, report: &mut Report) {
    let rounds = if case.once { 1 } else { rounds };
    for _ in 0..rounds {
        let is_picked = |name: &str| server.split(',').any(|word| name.contains(word));
        for (name, start) in servers::ALL.iter().filter(|(name, _)| is_picked(name)) {
            // A fresh server each time: none is helped or hurt by what it did before.
            let rival = match start() {
                Ok(Some(rival)) => rival,
                Ok(None) => continue,
                Err(error) => {
                    eprintln!("{}: {name}: {error}", case.name);
                    report.add(case.name, name, &Err(error.to_string()));
                    continue;
                }
            };
            let figure = (case.run)(&rival);
            let text = figure.as_ref().map_or_else(Clone::clone, ToString::to_string);
            eprintln!("{}: {}: {text}", case.name, rival.name());
            report.add(case.name, rival.name(), &figure);
        }
    }
}

/// A client gives up after so long; the peers' own timers are seconds long.
const PATIENCE: Duration = Duration::from_secs(60);
