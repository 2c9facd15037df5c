//! Generated inputs, which are always the same.

use std::fmt::Write;

/// A text to parse.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// A linear congruential generator: the same numbers everywhere.
struct Lcg(u64);

impl Lcg {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let index = self.below(words.len() as u64);
        words[usize::try_from(index).unwrap_or_default()]
    }

    fn word(&mut self) -> &'static str {
        self.pick(&WORDS)
    }
}

const WORDS: [&str; 26] = [
    "core", "net", "util", "json", "http", "tls", "regex", "log", "cache", "queue", "store",
    "graph", "codec", "image", "audio", "test", "build", "tool", "parser", "lexer", "table",
    "index", "block", "stream", "frame", "token",
];

const FILES: [&str; 12] = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "core",
    "parser",
    "serializer",
    "transport",
    "scheduler",
    "worker",
    "task",
    "result",
];

const OPERATIONS: [&str; 8] =
    ["configure", "update", "test", "install", "dist", "uninstall", "clean", "upload"];

/// A list of manifests with twelve short values each.
pub(crate) fn small(size: usize) -> Input {
    let mut random = Lcg::new(1);
    // Some thousand different ones, repeated: varied enough, and quickly generated.
    let mut body = |index| {
        let mut text = String::new();
        push_small_manifest(&mut random, index, &mut text).expect("a string takes everything");
        text
    };
    let bodies: Vec<String> = (0..4096).map(&mut body).collect();
    let mut text = String::with_capacity(size + 1024);
    let mut start = ": 1\n";
    for body in bodies.iter().cycle() {
        text.push_str(start);
        text.push_str(body);
        start = ":\n";
        if text.len() >= size {
            break;
        }
    }
    Input { name: "small", bytes: text.into_bytes() }
}

fn push_small_manifest(random: &mut Lcg, index: u64, text: &mut String) -> std::fmt::Result {
    let name = format!("lib{}-{}", random.word(), random.word());
    let mut version = format!("{}.{}.{}", random.below(9), random.below(40), random.below(90));
    if random.below(4) == 0 {
        let (number, id) = (1 + random.below(9), random.below(1 << 31));
        write!(version, "-a.{number}.{}.{id:08x}", 20_260_101 + index)?;
    }
    writeln!(text, "name: {name}\nversion: {version}\nproject: {}", random.word())?;
    let (a, b, c) = (random.word(), random.word(), random.word());
    writeln!(text, "summary: {a} {b} library for {c}")?;
    writeln!(text, "license: {}", random.pick(&["MIT", "Apache-2.0", "BSD-3-Clause", "Zlib"]))?;
    writeln!(text, "topics: {}, {}, C++", random.word(), random.word())?;
    writeln!(text, "url: https://example.org/{name}")?;
    writeln!(text, "email: dev-{}@example.org", random.below(1000))?;
    writeln!(text, "depends: * build2 >= 0.{}.0", 10 + random.below(9))?;
    writeln!(text, "requires: c++{}", random.pick(&["11", "14", "17", "20"]))?;
    writeln!(text, "location: {}/{name}-{version}.tar.gz", random.word())?;
    text.push_str("sha256sum: ");
    (0..8).try_for_each(|_| write!(text, "{:08x}", random.below(1 << 31)))?;
    text.push('\n');
    Ok(())
}

/// A result of a build: one manifest with long logs.
pub(crate) fn logs(count: usize, size: usize) -> Input {
    let mut random = Lcg::new(1);
    let mut text = String::from(": 1\nname: libhello\nversion: 1.2.3\nstatus: success\n");
    let operations = || OPERATIONS.iter().cycle().take(count);
    for operation in operations() {
        text.extend([operation, "-status: success\n"]);
    }
    for operation in operations() {
        text.extend([operation, "-log:\n\\\n"]);
        push_log(&mut random, size, &mut text);
        text.push_str("\\\n");
    }
    text.push_str("worker-checksum: 1\ndependency-checksum: 2\n");
    Input { name: "logs", bytes: text.into_bytes() }
}

fn push_log(random: &mut Lcg, size: usize, text: &mut String) {
    let end = text.len() + size;
    while text.len() < end {
        push_log_line(random, text).expect("a string takes everything");
        if text.ends_with('\\') {
            text.push('\\');
        }
        text.push('\n');
    }
}

/// Adds a line such as compilers and tests print.
fn push_log_line(random: &mut Lcg, text: &mut String) -> std::fmt::Result {
    match random.below(20) {
        0..9 => {
            let (file, word, number) = (random.pick(&FILES), random.word(), random.below(500));
            write!(text, "c++ src/{file}/{word}-{number}.cxx -> ")?;
            write!(text, "obj{{{}-{}}}", random.word(), random.below(500))
        }
        9..13 => {
            let (file, word) = (random.pick(&FILES), random.word());
            let (line, column) = (random.below(4000), random.below(100));
            write!(text, "src/{file}/{word}.cxx:{line}:{column}: warning: unused parameter ")?;
            write!(text, "'{}' [-Wunused-parameter]", random.word())
        }
        13..15 => {
            write!(text, "   {:4} |   static int {} ", random.below(4000), random.word())?;
            write!(text, "(const std::string& {}, size_t {})", random.word(), random.word())
        }
        15..17 => {
            text.push_str("g++ -std=c++20 -O2");
            for _ in 0..4 + random.below(8) {
                write!(text, " -I/tmp/b/{}/{}", random.pick(&FILES), random.word())?;
            }
            Ok(())
        }
        17 => Ok(()),
        18 => {
            write!(text, "test \u{2018}{}\u{2019} passed \u{2713} ", random.word())?;
            write!(text, "\u{432}\u{440}\u{435}\u{43c}\u{44f} {} \u{b5}s", random.below(10_000))
        }
        _ => write!(text, "C:\\build\\{}\\{}\\", random.pick(&FILES), random.word()),
    }
}
