//! The invariants of ARCHITECTURE.md that are about code: I1, I2, I9, and reasons for values that
//! are thrown away.

use crate::tidy::Finding;
use crate::tidy::source::Source;

/// The libraries, none of which may depend on another (I1).
pub(super) const LIBRARIES: [&str; 5] =
    ["bbot-manifest", "bbot-lock", "bbot-btrfs", "bbot-tftp", "bbot-vm"];

/// The files and folders where decisions are made from plain values (I2).
pub(super) const PURE: &[&str] = &[
    "bbot-agent/src/schedule/",
    "bbot-agent/src/guest/run.rs",
    "bbot-agent/src/guest/exit.rs",
    "bbot-agent/src/guest/sign.rs",
    "bbot-agent/src/guest/hold.rs",
    "bbot-agent/src/host/health.rs",
    "bbot-agent/src/task/outcome.rs",
    "bbot-agent/src/machines/freshness.rs",
    "bbot-agent/src/machines/complaints.rs",
    "bbot-agent/src/controller/answer.rs",
    "bbot-agent/src/controller/verdict.rs",
    "bbot-agent/src/reports/artifact_wait.rs",
    "bbot-agent/src/reports/schedule.rs",
    "bbot-tftp/src/protocol/",
];

/// The same for code that may name the traits and errors of `std::io`, which are no effects.
const PURE_WITH_IO_TYPES: &[&str] = &["bbot-tftp/src/engine/", "bbot-manifest/src/"];

/// What such code may not name: the clock, chance, and all ways out of the process.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::os",
    "std::process",
    "std::thread",
    "std::env",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "nix::",
    "rustix::",
    "fastrand::",
    "ureq::Agent",
    "ureq::{",
    "Instant::now",
    "SystemTime",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
];

/// Macros of the crate `log` above debug, which are the program's to use and not a library's.
const LOUD: &[&str] = &["error!", "warn!", "info!"];

/// Checks a file of Rust source.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = check_reasons(source);
    if !source.file.ends_with("/sys.rs") {
        findings.extend(check_unsafe(source));
    }
    let is_in = |places: &[&str]| places.iter().any(|place| source.file.starts_with(place));
    if is_in(PURE) {
        findings.extend(check_pure(source, &[IMPURE, &["std::io"]].concat()));
    } else if is_in(PURE_WITH_IO_TYPES) {
        findings.extend(check_pure(source, IMPURE));
    }
    let mut libraries = LIBRARIES.iter().map(|library| format!("{library}/src/"));
    if libraries.any(|folder| source.file.starts_with(&folder)) {
        findings.extend(check_quiet(source));
    }
    findings
}

/// A value that is thrown away has a reason: a comment on the line, or in the three above it.
fn check_reasons(source: &Source) -> Vec<Finding> {
    let comments: Vec<&str> = source.prose.lines().collect();
    let thrown = source.code.lines().enumerate().filter(|(_, line)| line.contains("let _ ="));
    let unexplained = thrown.filter(|(at, _)| {
        let last = (at + 1).min(comments.len());
        comments[at.saturating_sub(3).min(last)..last].iter().all(|line| line.trim().is_empty())
    });
    unexplained.map(|(at, _)| Finding::new(source, at, "no reason given")).collect()
}

/// Unsafe code is in files of its own (I9).
fn check_unsafe(source: &Source) -> Vec<Finding> {
    let is_unsafe = |line: &str| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == "unsafe")
    };
    let lines = source.code.lines().enumerate().filter(|(_, line)| is_unsafe(line));
    lines.map(|(at, _)| Finding::new(source, at, "unsafe outside of a sys.rs (I9)")).collect()
}

/// No way out of the process; what the tests of the file use is not looked at.
fn check_pure(source: &Source, impure: &[&str]) -> Vec<Finding> {
    let is_impure = |line: &str| {
        // `use std::{fs, io}` names std::fs and std::io.
        let grouped = line.trim_start().strip_prefix("use std::{").unwrap_or_default();
        let names = grouped.split([',', '}']).map(|name| format!("std::{}", name.trim()));
        names.chain([line.to_owned()]).any(|name| impure.iter().any(|word| name.contains(word)))
    };
    let lines = source.production().filter(|(_, line)| is_impure(line));
    lines.map(|(at, _)| Finding::new(source, at, "an effect in pure code (I2)")).collect()
}

/// No message above debug.
fn check_quiet(source: &Source) -> Vec<Finding> {
    let is_loud = |line: &str| {
        LOUD.iter().any(|name| {
            let mut before = line.match_indices(name).map(|(at, _)| &line[..at]);
            before.any(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    let lines = source.production().filter(|(_, line)| is_loud(line));
    lines.map(|(at, _)| Finding::new(source, at, "a library logs above debug (I1)")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::{fails, passes};

    #[test]
    fn what_is_thrown_away_has_a_reason() {
        fails(check, "a.rs", "let _ = f();\n", 1, "reason");
        fails(check, "a.rs", "// Why.\n\n\n\nlet _ = f();\n", 5, "reason");
        passes(check, "a.rs", "// The receiver may be gone.\nlet _ = f();\n");
        passes(check, "a.rs", "let _ = f(); // The receiver may be gone.\n");
        passes(check, "a.rs", "let text = \"let _ = f();\";\n");
    }

    #[test]
    fn unsafe_code_is_apart() {
        fails(check, "a/src/b.rs", "let a = unsafe { f() };\n", 1, "unsafe");
        fails(check, "a/src/mysys.rs", "unsafe impl Send for A {}\n", 1, "unsafe");
        passes(check, "a/src/sys.rs", "let a = unsafe { f() };\n");
        passes(check, "a/src/b.rs", "#![forbid(unsafe_code)]\n// unsafe { }\n");
    }

    #[test]
    fn pure_code_has_no_effects() {
        let file = "bbot-agent/src/schedule/plan.rs";
        fails(check, file, "use std::fs;\n", 1, "I2");
        fails(check, file, "use std::{collections, io};\n", 1, "I2");
        fails(check, file, "\nlet now = Instant::now();\n", 2, "I2");
        passes(check, file, "use std::time::{Duration, Instant};\n// std::fs is not used\n");
        passes(check, file, "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n");
        passes(check, "bbot-agent/src/outbox/store.rs", "use std::fs;\n");
        passes(check, "bbot-tftp/src/engine/host.rs", "use std::io;\n");
        fails(check, "bbot-tftp/src/engine/host.rs", "use std::{fs, io};\n", 1, "I2");
        fails(check, "bbot-tftp/src/protocol/send.rs", "use std::io;\n", 1, "I2");
    }

    #[test]
    fn pure_code_is_where_it_is_looked_for() {
        for place in [PURE, PURE_WITH_IO_TYPES].concat() {
            let path = crate::workspace::root().join(place);
            assert!(path.try_exists().unwrap(), "{place}");
        }
    }

    #[test]
    fn libraries_are_quiet() {
        fails(check, "bbot-vm/src/a.rs", "log::warn!(\"a\");\n", 1, "I1");
        fails(check, "bbot-vm/src/a.rs", "if a { error!(\"a\") }\n", 1, "I1");
        passes(check, "bbot-vm/src/a.rs", "log::debug!(\"a\"); my_error!(); trace!();\n");
        passes(check, "bbot-vm/src/a.rs", "#[cfg(test)]\nmod tests {\n    warn!();\n}\n");
        passes(check, "bbot-agent/src/a.rs", "log::warn!(\"a\");\n");
    }
}
