//! How time and memory grow with the input.

use std::io::{self, BufReader, Read, Write};
use std::process::Command;

use bbot_manifest::{Limits, Parser, StreamParser};

use crate::clock::CpuInstant;
use crate::inputs;

const MIB: usize = 1 << 20;

type Make = fn(usize) -> Vec<u8>;

/// Inputs by size in bytes; the last ones are expensive to parse.
const INPUTS: [(&str, Make); 7] = [
    ("small", |size| inputs::small(size).bytes),
    ("logs", |size| inputs::logs(size / MIB, MIB).bytes),
    ("backslashes", |size| framed("a: ", "\\", size)),
    ("backslash lines", |size| framed("a:\n\\\n", "x\\\n\\\\\n", size)),
    ("carriage returns", |size| framed("a: x\n", "\r", size)),
    ("one line", |size| framed("a: ", "x", size)),
    ("empty manifests", |size| framed("", ":\n", size)),
];

fn framed(begin: &str, repeated: &str, size: usize) -> Vec<u8> {
    format!(": 1\n{begin}{}", repeated.repeat(size / repeated.len())).into_bytes()
}

/// The sizes that are compared.
const SIZES: [usize; 2] = [10, 100];

/// Prints the times for each input at two sizes and their ratio, and the peak memory of a stream of
/// three lengths.
pub(crate) fn run(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:18} {:>24} {:>24}", "input", "parse ms, 10 and 100 MiB", "stream ms")?;
    for (name, _) in INPUTS {
        write!(out, "{name:18}")?;
        for parser in ["parse", "stream"] {
            let [small, large] = median_times(name, parser)?;
            // 1 if the time is proportional to the size.
            write!(out, " {small:>8.1} {large:>8.1} x{:<5.2}", large / small / 10.0)?;
        }
        writeln!(out)?;
    }
    for mib in [10, 100, 1000] {
        writeln!(out, "streaming {mib:>4} MiB: peak {} KiB", stream_peak(mib) / 1024)?;
    }
    Ok(())
}

/// Measures in turn, in separate processes, so that no run has memory of an earlier one. The
/// medians count.
fn median_times(name: &str, parser: &str) -> io::Result<[f64; 2]> {
    const ROUNDS: usize = 15;
    let mut times = [[0.0; ROUNDS]; 2];
    for round in 0..ROUNDS {
        for (mib, times) in SIZES.iter().zip(&mut times) {
            let arguments = ["--one", name, &mib.to_string(), parser];
            let output = Command::new(std::env::current_exe()?).args(arguments).output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            times[round] = text.trim().parse().map_err(io::Error::other)?;
        }
    }
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    }))
}

/// Prints the milliseconds that one run takes: `arguments` are input, MiB and parser.
pub(crate) fn run_one(out: &mut impl Write, arguments: &[String]) -> io::Result<()> {
    let wrong = || io::Error::other("usage: bench --one INPUT MIB parse|stream");
    let [name, mib, parser] = arguments else { return Err(wrong()) };
    let (_, make) = INPUTS.iter().find(|(input, _)| input == name).ok_or_else(wrong)?;
    let bytes = make(mib.parse::<usize>().map_err(io::Error::other)? * MIB);
    // Evicts the input from the cache, in which only the smaller one would fit.
    std::hint::black_box(vec![1_u8; 100 * MIB]);
    let start = CpuInstant::now();
    match parser.as_str() {
        "parse" => parse(&bytes),
        "stream" => drain(BufReader::with_capacity(64 << 10, &*bytes)),
        _ => return Err(wrong()),
    }
    writeln!(out, "{}", start.elapsed().as_secs_f64() * 1e3)
}

/// Returns the peak of allocated memory, in bytes, of streaming an input of `mib` MiB.
fn stream_peak(mib: usize) -> u64 {
    let bytes = inputs::small(10 * MIB).bytes;
    let (first, rest) = bytes.split_at(": 1\n".len());
    let mut reader: Box<dyn Read> = Box::new(first);
    for _ in 0..mib / 10 {
        reader = Box::new(reader.chain(rest).chain(&b":\n"[..]));
    }
    allocation_counter::measure(|| drain(BufReader::new(reader))).bytes_max
}

fn parse(bytes: &[u8]) {
    for event in Parser::new(bytes).with_limits(Limits::NONE) {
        std::hint::black_box(&event.expect("the input is a manifest"));
    }
}

fn drain(reader: impl io::BufRead) {
    let mut parser = StreamParser::new(reader).with_limits(Limits::NONE);
    while let Some(event) = parser.next_event().expect("the input is a manifest") {
        std::hint::black_box(&event);
    }
}
