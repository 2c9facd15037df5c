//! Measures snapshot and delete through the crate, beside the bare ioctls and the program `btrfs`.
//!
//! The three take turns within one run, on a fresh volume in an image file, so that other load on
//! the host affects all of them alike. Needs root, `btrfs-progs` and a loop device.

mod sys;
#[path = "../../tests/volume/mod.rs"]
mod volume;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fmt, fs};

use bbot_btrfs::As;

const ROUNDS: usize = 200;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A way to take snapshots and to delete them.
struct Way {
    name: &'static str,
    snapshot: fn(&Path, &Path) -> Outcome<()>,
    delete: fn(&Path) -> Outcome<()>,
}

const WAYS: [Way; 3] = [
    Way {
        name: "crate",
        snapshot: |source, target| Ok(bbot_btrfs::snapshot(source, As(target))?),
        delete: |path| Ok(bbot_btrfs::delete(path)?),
    },
    Way {
        name: "ioctl",
        snapshot: |source, target| Ok(sys::snapshot(source, target)?),
        delete: |path| Ok(sys::delete(path)?),
    },
    Way {
        name: "program",
        snapshot: |source, target| {
            program("snapshot", &[source, target]);
            Ok(())
        },
        delete: |path| {
            program("delete", &[path]);
            Ok(())
        },
    },
];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let json = match arguments.as_slice() {
        [] => None,
        [option, file] if option == "--json" => Some(PathBuf::from(file)),
        _ => return complain("usage: bench [--json FILE]"),
    };
    match volume::with(|volume| measure(volume.root())).and_then(|report| publish(&report, json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(message: &str) -> ExitCode {
    // If standard error is closed, the exit code still reports the failure.
    drop(writeln!(io::stderr(), "bench: {message}"));
    ExitCode::FAILURE
}

fn program(command: &str, paths: &[&Path]) {
    volume::run("btrfs-progs", Command::new("btrfs").args(["subvolume", command]).args(paths));
}

/// Measures all ways. Each comes first in a third of the rounds, and after each other one equally
/// often.
fn measure(folder: &Path) -> Outcome<Report> {
    let source = folder.join("machine");
    let target = folder.join("machine-1-4242-0");
    bbot_btrfs::create(&source)?;
    fs::write(source.join("disk.img"), vec![7; 16 << 20])?;
    let mut times = Report { snapshot: Times::default(), delete: Times::default() };
    for round in 0..ROUNDS {
        for turn in 0..WAYS.len() {
            let turn = if round % 2 == 0 { turn } else { WAYS.len() - turn };
            let index = (round + turn) % WAYS.len();
            let way = &WAYS[index];
            times.snapshot.0[index].push(timed(|| (way.snapshot)(&source, &target))?);
            times.delete.0[index].push(timed(|| (way.delete)(&target))?);
        }
    }
    Ok(times)
}

fn timed(action: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    let start = Instant::now();
    action()?;
    Ok(start.elapsed())
}

fn publish(report: &Report, json: Option<PathBuf>) -> Outcome<()> {
    if let Some(file) = json {
        fs::write(file, report.to_json())?;
    }
    Ok(write!(io::stdout(), "{report}")?)
}

struct Report {
    snapshot: Times,
    delete: Times,
}

/// The times of one operation, in the order of [`WAYS`].
#[derive(Default)]
struct Times([Vec<Duration>; WAYS.len()]);

impl Times {
    /// Returns the medians in microseconds, in the order of [`WAYS`].
    fn medians(&self) -> [f64; WAYS.len()] {
        self.0.each_ref().map(|times| {
            let mut times = times.clone();
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e6
        })
    }
}

impl Report {
    fn rows(&self) -> [(&'static str, [f64; WAYS.len()]); 2] {
        [("snapshot", self.snapshot.medians()), ("delete", self.delete.medians())]
    }

    fn to_json(&self) -> String {
        let operations = self.rows().map(|(operation, [ours, ioctl, program])| {
            format!(
                "\"{operation}\": {{\"crate_us\": {ours:.1}, \"ioctl_us\": {ioctl:.1}, \
                 \"program_us\": {program:.1}, \"crate_to_ioctl\": {:.3}, \
                 \"program_to_crate\": {:.3}}}",
                ours / ioctl,
                program / ours
            )
        });
        format!("{{\"rounds\": {ROUNDS}, {}}}\n", operations.join(", "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, ioctl, program] = WAYS.map(|way| way.name);
        writeln!(f, "medians of {ROUNDS} rounds, in microseconds")?;
        writeln!(
            f,
            "{:9}{ours:>10}{ioctl:>10}{program:>10}  {ours}/{ioctl}  {program}/{ours}",
            ""
        )?;
        for (operation, [a, b, c]) in self.rows() {
            let (near, far) = (a / b, c / a);
            writeln!(f, "{operation:9}{a:>10.1}{b:>10.1}{c:>10.1}  {near:>11.3}  {far:>13.1}")?;
        }
        Ok(())
    }
}
