//! This server and those of others, side by side in one run, with the bound of raw UDP.
//!
//! `bench [--rounds N] [--json FILE] [--only WORD] [--server WORD,...] [--folder DIR]`
//!
//! The words pick cases and servers. It has to run as root: dnsmasq's port is 69, the CPU time is
//! counted by control groups, and the files lie in a file system that is mounted for the run.
//!
//! That file system is a tmpfs, for all servers alike, which takes large pages where large pieces
//! are written, as the file systems of disks do today. In pages of 4 KiB, 1 MiB that is written
//! costs the kernel 0.6 ms, whoever writes it and however: more than the rest of this server, so
//! that an upload would show the kernel's memory rather than a server. `--folder DIR` measures
//! with files in another place, such as `/dev/shm`.

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
use servers::{Rival, Start};

const BIG: usize = 64 << 20;

/// One line of the table: what is transferred, and how.
struct Case {
    name: &'static str,
    run: fn(&Rival) -> Result<Figure, String>,
    turns: Turns,
}

/// How often the servers have their turn.
#[derive(Clone, Copy)]
enum Turns {
    /// Peers are too slow or too wrong for more than one round of it.
    Once,
    /// So many times in each round, each time with a fresh server: none is helped or hurt by what
    /// it did before. Short cases have more turns, since a disturbance may last as long as they.
    Fresh(u32),
    /// So many short times in each round, with the same servers: whatever disturbs the machine
    /// disturbs all of them.
    Slices(u32),
}

const W64: Shape = Shape { block: Some(1428), window: Some(64) };
const W16: Shape = Shape { block: Some(1428), window: Some(16) };
const LOCKSTEP: Shape = Shape { block: Some(1428), window: None };
const JUMBO: Shape = Shape { block: Some(65464), window: Some(16) };
const JUMBO_LOCKSTEP: Shape = Shape { block: Some(65464), window: None };

const CASES: &[Case] = &[
    case("GET 64 MiB, 1428, window 64", |r| load::get(r, BIG, W64), Turns::Fresh(2)),
    case("PUT 64 MiB, 1428, window 64", |r| load::put(r, BIG, W64), Turns::Fresh(2)),
    case("GET 64 MiB, 1428, window 16", |r| load::get(r, BIG, W16), Turns::Fresh(2)),
    case("PUT 64 MiB, 1428, window 16", |r| load::put(r, BIG, W16), Turns::Fresh(2)),
    case("GET 64 MiB, 1428, lockstep", |r| load::get(r, BIG, LOCKSTEP), Turns::Fresh(1)),
    case("PUT 64 MiB, 1428, lockstep", |r| load::put(r, BIG, LOCKSTEP), Turns::Fresh(1)),
    case("PUT 64 MiB, 65464, window 16", |r| load::put(r, BIG, JUMBO), Turns::Fresh(1)),
    case("PUT 64 MiB, 65464, lockstep", |r| load::put(r, BIG, JUMBO_LOCKSTEP), Turns::Fresh(1)),
    case("256 x GET 256 KiB, lockstep", |r| load::crowd(r, LOCKSTEP), Turns::Fresh(3)),
    case("256 x GET 256 KiB, window 16", |r| load::crowd(r, W16), Turns::Fresh(3)),
    case("256 x GET 256 KiB, window 64", |r| load::crowd(r, W64), Turns::Fresh(1)),
    case("GET 1 KiB, latency", |r| load::latency(r, 500), Turns::Slices(4)),
    case("256 x PUT 256 KiB at once", load::uploads, Turns::Once),
    case("GET 256 KiB, 5 % loss", |r| lossy::runs(r, 20), Turns::Once),
];

const fn case(name: &'static str, run: fn(&Rival) -> Result<Figure, String>, turns: Turns) -> Case {
    Case { name, run, turns }
}

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
    let (mut rounds, mut json, mut folder) = (5, None, None);
    let (mut only, mut server) = (String::new(), String::new());
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--rounds" => rounds = value()?.parse().map_err(|e| format!("--rounds: {e}"))?,
            "--json" => json = Some(value()?),
            "--only" => only = value()?,
            "--server" => server = value()?,
            "--folder" => folder = Some(value()?),
            // What `--bench` of a harness passes has no meaning here.
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    servers::raise_descriptor_limit();
    if let Some(folder) = folder {
        servers::keep_files_in(folder);
    } else {
        servers::mount_memory().map_err(|e| format!("cannot mount a tmpfs: {e}"))?;
    }
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
    let is_picked = |name: &str| server.split(',').any(|word| name.contains(word));
    let picked = servers::ALL.iter().filter(|(name, _)| is_picked(name));
    match case.turns {
        Turns::Once => picked.for_each(|one| run_fresh(case, one, report)),
        Turns::Fresh(times) => {
            for _ in 0..rounds * times {
                picked.clone().for_each(|one| run_fresh(case, one, report));
            }
        }
        Turns::Slices(times) => {
            for _ in 0..rounds {
                let rivals: Vec<_> =
                    picked.clone().filter_map(|s| start(case, s, report)).collect();
                for _ in 0..times {
                    for rival in &rivals {
                        measure(case, rival, report);
                    }
                }
            }
        }
    }
}

fn run_fresh(case: &Case, server: &(&str, Start), report: &mut Report) {
    if let Some(rival) = start(case, server, report) {
        measure(case, &rival, report);
    }
}

/// Starts a server that is installed.
fn start(case: &Case, (name, start): &(&str, Start), report: &mut Report) -> Option<Rival> {
    let started = start();
    started.unwrap_or_else(|error| {
        eprintln!("{}: {name}: {error}", case.name);
        report.add(case.name, name, &Err(error.to_string()));
        None
    })
}

fn measure(case: &Case, rival: &Rival, report: &mut Report) {
    let figure = (case.run)(rival);
    let text = figure.as_ref().map_or_else(Clone::clone, ToString::to_string);
    eprintln!("{}: {}: {text}", case.name, rival.name());
    report.add(case.name, rival.name(), &figure);
}

/// A client gives up after so long; the peers' own timers are seconds long.
const PATIENCE: Duration = Duration::from_secs(60);
