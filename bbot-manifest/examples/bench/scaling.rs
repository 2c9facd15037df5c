//! How time and memory grow with the input.

use std::io::{self, BufReader, Read, Write};
use std::time::{Duration, Instant};

use allocation_counter::AllocationInfo;
use bbot_manifest::{Limits, Parser, StreamParser};

use crate::inputs;

const MIB: usize = 1 << 20;

type Make = fn(usize) -> Vec<u8>;

/// Inputs by size in bytes; the last ones are meant to hurt.
const INPUTS: [(&str, Make); 7] = [
    ("small", |size| inputs::small(size).bytes),
    ("logs", |size| inputs::logs(size / MIB, MIB).bytes),
    ("backslashes", |size| framed("a: ", "\\", size)),
    ("backslash lines", |size| framed("a:\n\\\n", "\\\n \\x\\\n", size)),
    ("carriage returns", |size| framed("a: x\n", "\r", size)),
    ("one line", |size| framed("a: ", "x", size)),
    ("empty manifests", |size| framed("", ":\n", size)),
];

fn framed(begin: &str, repeated: &str, size: usize) -> Vec<u8> {
    format!(": 1\n{begin}{}", repeated.repeat(size / repeated.len())).into_bytes()
}

/// Prints, for each input at two sizes, time and peak memory, and how far they are proportional.
pub(crate) fn run(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:18} {:>6} {:>13} {:>13}", "input", "MiB", "parse ms", "stream ms")?;
    for (name, make) in INPUTS {
        let mut before: Option<[Duration; 2]> = None;
        for size in [10, 100] {
            let bytes = make(size * MIB);
            let times = [best(|| parse(&bytes)), best(|| stream(&bytes))];
            write!(out, "{name:18} {size:>6}")?;
            for (index, time) in times.iter().enumerate() {
                let ms = time.as_secs_f64() * 1e3;
                // 1 is what ten times the input should cost.
                let growth = before.map(|b| time.as_secs_f64() / b[index].as_secs_f64() / 10.0);
                match growth {
                    Some(growth) => write!(out, " {ms:>7.1} x{growth:<4.2}")?,
                    None => write!(out, " {ms:>7.1}      ")?,
                }
            }
            writeln!(out)?;
            before = Some(times);
        }
    }
    for mib in [10, 100, 1000] {
        let bytes = inputs::small(10 * MIB).bytes;
        let (first, rest) = bytes.split_at(4);
        let copies = mib / 10;
        let info = peak(|| {
            let mut reader: Box<dyn Read> = Box::new(first);
            for _ in 0..copies {
                reader = Box::new(reader.chain(rest).chain(&b":\n"[..]));
            }
            drain(BufReader::new(reader));
        });
        writeln!(out, "streaming {mib} MiB: peak {} KiB", info.bytes_max / 1024)?;
    }
    Ok(())
}

fn best(mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..5).map(time).min().unwrap_or_default()
}

fn parse(bytes: &[u8]) {
    for event in Parser::new(bytes).with_limits(Limits::NONE) {
        std::hint::black_box(&event.expect("the input is a manifest"));
    }
}

fn stream(bytes: &[u8]) {
    drain(BufReader::with_capacity(64 << 10, bytes));
}

fn drain(reader: impl io::BufRead) {
    let mut parser = StreamParser::new(reader).with_limits(Limits::NONE);
    while let Some(event) = parser.next_event().expect("the input is a manifest") {
        std::hint::black_box(&event);
    }
}

fn peak(run: impl FnOnce()) -> AllocationInfo {
    allocation_counter::measure(run)
}
