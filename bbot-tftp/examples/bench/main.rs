//! Compares this server with others in one run, and with the limits of raw UDP.
//!
//! `bench [--rounds N] [--json FILE] [--only WORD] [--server WORD,...] [--folder DIR]`
//!
//! The words select cases and servers. It must run as root: dnsmasq's port is 69, the CPU time is
//! counted by control groups, and the files are in a file system that is mounted for the run.
//!
//! That file system is a tmpfs, for all servers, which uses large pages for large writes, as the
//! file systems of disks do today. With pages of 4 KiB, each MiB that is written costs the kernel
//! 0.6 ms, whatever the server: more than all else that this server does, so that an upload would
//! measure the kernel's memory management. `--folder DIR` measures with files in another folder,
//! such as `/dev/shm`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints its messages")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

mod bound;
mod concurrent;
mod load;
mod lossy;
#[path = "../../tests/other_servers/mod.rs"]
mod other_servers;
mod report;
mod servers;

use std::num::NonZeroU16;
use std::time::Duration;

use bbot_tftp::BlockSize;
use load::Shape;
use report::{Figure, Report};
use servers::{MeasuredServer, Start};

const BIG: usize = 64 << 20;

/// A line of the table: a kind of transfer.
struct Case {
    name: &'static str,
    run: fn(&MeasuredServer) -> Result<Figure, String>,
    turns: Turns,
}

/// How often each server is measured in a round.
#[derive(Clone, Copy)]
enum Turns {
    /// Once in all: some servers are too slow for more.
    Once,
    /// This number of times, each with a new process: earlier transfers have no effect. Short cases
    /// have more turns, because a disturbance of the machine may last as long as they.
    Fresh(u32),
    /// This number of times, with the same processes, in alternation: a disturbance of the machine
    /// affects all servers.
    Slices(u32),
}

const W64: Shape = shape(1428, Some(64));
const W16: Shape = shape(1428, Some(16));
const LOCKSTEP: Shape = shape(1428, None);
const JUMBO: Shape = shape(65464, Some(16));
const JUMBO_LOCKSTEP: Shape = shape(65464, None);

const fn shape(block_size: u16, window_size: Option<u16>) -> Shape {
    let window_size = match window_size {
        Some(blocks) => NonZeroU16::new(blocks),
        None => None,
    };
    Shape { block_size: BlockSize::new(block_size), window_size }
}

const CASES: &[Case] = &[
    case("GET 64 MiB, 1428, window 64", |r| load::get(r, BIG, W64), Turns::Fresh(2)),
    case("PUT 64 MiB, 1428, window 64", |r| load::put(r, BIG, W64), Turns::Fresh(2)),
    case("GET 64 MiB, 1428, window 16", |r| load::get(r, BIG, W16), Turns::Fresh(2)),
    case("PUT 64 MiB, 1428, window 16", |r| load::put(r, BIG, W16), Turns::Fresh(2)),
    case("GET 64 MiB, 1428, lockstep", |r| load::get(r, BIG, LOCKSTEP), Turns::Fresh(1)),
    case("PUT 64 MiB, 1428, lockstep", |r| load::put(r, BIG, LOCKSTEP), Turns::Fresh(1)),
    case("PUT 64 MiB, 65464, window 16", |r| load::put(r, BIG, JUMBO), Turns::Fresh(1)),
    case("PUT 64 MiB, 65464, lockstep", |r| load::put(r, BIG, JUMBO_LOCKSTEP), Turns::Fresh(1)),
    case("256 x GET 256 KiB, lockstep", |r| load::gets(r, LOCKSTEP), Turns::Fresh(3)),
    case("256 x GET 256 KiB, window 16", |r| load::gets(r, W16), Turns::Fresh(3)),
    case("256 x GET 256 KiB, window 64", |r| load::gets(r, W64), Turns::Fresh(1)),
    case("GET 1 KiB, latency", |r| load::latency(r, 500), Turns::Slices(4)),
    case("256 x PUT 256 KiB at once", load::uploads, Turns::Once),
    case("GET 256 KiB, 5 % loss", |r| lossy::runs(r, 20), Turns::Once),
];

const fn case(
    name: &'static str,
    run: fn(&MeasuredServer) -> Result<Figure, String>,
    turns: Turns,
) -> Case {
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

/// Measures all servers in turn, round after round, so that a change of the machine's load affects
/// all of them.
fn run_case(case: &Case, rounds: u32, server: &str, report: &mut Report) {
    let is_selected = |name: &str| server.split(',').any(|word| name.contains(word));
    let selected = servers::ALL.iter().filter(|(name, _)| is_selected(name));
    match case.turns {
        Turns::Once => selected.for_each(|one| run_fresh(case, one, report)),
        Turns::Fresh(times) => {
            for _ in 0..rounds * times {
                selected.clone().for_each(|one| run_fresh(case, one, report));
            }
        }
        Turns::Slices(times) => {
            for _ in 0..rounds {
                let running: Vec<_> =
                    selected.clone().filter_map(|s| start(case, s, report)).collect();
                for _ in 0..times {
                    for server in &running {
                        measure(case, server, report);
                    }
                }
            }
        }
    }
}

fn run_fresh(case: &Case, server: &(&str, Start), report: &mut Report) {
    if let Some(server) = start(case, server, report) {
        measure(case, &server, report);
    }
}

/// Starts a server that is installed.
fn start(
    case: &Case,
    (name, start): &(&str, Start),
    report: &mut Report,
) -> Option<MeasuredServer> {
    let started = start();
    started.unwrap_or_else(|error| {
        eprintln!("{}: {name}: {error}", case.name);
        report.add(case.name, name, &Err(error.to_string()));
        None
    })
}

fn measure(case: &Case, server: &MeasuredServer, report: &mut Report) {
    let figure = (case.run)(server);
    let text = figure.as_ref().map_or_else(Clone::clone, ToString::to_string);
    eprintln!("{}: {}: {text}", case.name, server.name());
    report.add(case.name, server.name(), &figure);
}

/// The maximum time without progress; other servers have timers of several seconds.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
