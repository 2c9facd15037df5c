//! The rules, each a function of text.

use std::path::Path;

use crate::tidy::{Finding, source};

/// The longest line of Rust source.
const COLUMNS: usize = 100;
/// The longest function, from its first line to its closing brace.
const FUNCTION_LINES: usize = 70;
/// The longest file of Rust source.
const FILE_LINES: usize = 600;
/// More packages than this in Cargo.lock ask for a decision: each of them is code that runs as
/// root, and time to compile.
const LOCKED_PACKAGES: usize = 260;

/// The libraries, none of which may depend on another.
const LIBRARIES: [&str; 5] = ["bbot-manifest", "bbot-lock", "bbot-btrfs", "bbot-tftp", "bbot-vm"];

/// The rooms where decisions are made from plain values.
const PURE: &[&str] = &[
    "bbot-agent/src/schedule/",
    "bbot-agent/src/guest/run.rs",
    "bbot-agent/src/guest/run/",
    "bbot-agent/src/task/outcome.rs",
    "bbot-agent/src/machines/freshness.rs",
];

/// What such a room may not name: the clock, chance, and all ways out of the process.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::os",
    "std::process",
    "std::thread",
    "std::env",
    "nix::",
    "rustix::",
    "fastrand::",
    "ureq::",
    "Instant::now",
    "SystemTime",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
];

/// Checks one text file of the workspace.
pub(super) fn check_file(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line: usize, what: &str| {
        findings.push(Finding { file: file.to_owned(), line: line + 1, what: what.to_owned() });
    };
    for (at, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            found(at, "trailing blank");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found(text.lines().count() - 1, "no newline at the end");
    }
    if Path::new(file).extension().is_some_and(|extension| extension == "rs") {
        let code = source::code(text);
        check_shape(text, &mut found);
        check_functions(&code, &mut found);
        check_reasons(text, &code, &mut found);
        check_unsafe(file, &code, &mut found);
        if PURE.iter().any(|room| file.starts_with(room)) {
            check_pure(&code, &mut found);
        }
    }
    findings
}

/// ASCII only, no long lines, no long file.
fn check_shape(text: &str, found: &mut impl FnMut(usize, &str)) {
    for (at, line) in text.lines().enumerate() {
        if !line.is_ascii() {
            found(at, "not ASCII");
        }
        if line.chars().count() > COLUMNS {
            found(at, "line of more than 100 columns");
        }
    }
    if text.lines().count() > FILE_LINES {
        found(FILE_LINES, "file of more than 600 lines: one concept a file");
    }
}

/// No long function. The text is formatted, so a function ends at the brace below its start.
fn check_functions(code: &str, found: &mut impl FnMut(usize, &str)) {
    let lines: Vec<&str> = code.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        if !is_function(words) || line.trim_end().ends_with(['}', ';']) {
            continue;
        }
        let indent = &line[..line.len() - words.len()];
        let ends = |line: &&str| {
            let rest = line.strip_prefix(indent).unwrap_or_default().trim_end();
            rest == "}" || (rest.starts_with(')') && rest.ends_with(';'))
        };
        let length = lines[start..].iter().position(ends).map_or(0, |end| end + 1);
        if length > FUNCTION_LINES {
            found(start, "function of more than 70 lines");
        }
    }
}

/// Whether a line of code begins a function.
fn is_function(line: &str) -> bool {
    let before = line.split_once("fn ").map(|(before, _)| before);
    before.is_some_and(|before| {
        let mut words = before.split_whitespace();
        let qualifier = |word: &str| {
            matches!(word, "const" | "async" | "unsafe" | "extern") || word.starts_with("pub")
        };
        words.all(|word| qualifier(word) || word.ends_with(')'))
    })
}

/// A value thrown away, and a lint silenced, each say why: in a comment on the line or in the
/// three above it, or in the attribute's `reason`.
fn check_reasons(text: &str, code: &str, found: &mut impl FnMut(usize, &str)) {
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in code.lines().enumerate() {
        let silenced = ["#[allow(", "#![allow(", "#[expect(", "#![expect("];
        let silenced = silenced.iter().any(|attribute| line.contains(attribute));
        if !silenced && !line.contains("let _ =") {
            continue;
        }
        let near = &lines[at.saturating_sub(3)..=at];
        let commented = near.iter().any(|line| line.contains("//"));
        // An attribute of several lines ends at its bracket.
        let mut attribute = code.lines().skip(at).take(6);
        let end = attribute.position(|line| line.contains(")]")).unwrap_or(0);
        let reasoned =
            silenced && code.lines().skip(at).take(end + 1).any(|l| l.contains("reason ="));
        if !commented && !reasoned {
            found(at, "no reason given");
        }
    }
}

/// Unsafe code lives in files of its own.
fn check_unsafe(file: &str, code: &str, found: &mut impl FnMut(usize, &str)) {
    if file.ends_with("/sys.rs") {
        return;
    }
    for (at, line) in code.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.any(|word| word == "unsafe") {
            found(at, "unsafe outside of a sys.rs");
        }
    }
}

/// No way out of the process. What tests of the room use is theirs to know.
fn check_pure(code: &str, found: &mut impl FnMut(usize, &str)) {
    let body = code.lines().enumerate().take_while(|(_, line)| !line.contains("#[cfg(test)]"));
    for (at, line) in body {
        // `use std::{fs, io}` names std::fs and std::io.
        let grouped = line.trim_start().strip_prefix("use std::{").unwrap_or_default();
        let names = grouped.split([',', '}']).map(|name| format!("std::{}", name.trim()));
        let impure = names.chain([line.to_owned()]);
        if impure.into_iter().any(|name| IMPURE.iter().any(|word| name.contains(word))) {
            found(at, "a way out of a room of pure decisions");
        }
    }
}

/// No library of ours depends on another: `tree` is what `cargo tree --depth 1 --prefix depth`
/// prints.
pub(super) fn check_dependencies(tree: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut library = None;
    for line in tree.lines() {
        let name = line.get(1..).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let ours = LIBRARIES.iter().find(|ours| **ours == name);
        match (line.as_bytes().first(), library, ours) {
            (Some(b'0'), ..) => library = ours,
            (Some(b'1'), Some(library), Some(other)) => {
                let file = format!("{library}/Cargo.toml");
                findings.push(Finding { file, line: 1, what: format!("depends on {other}") });
            }
            _ => {}
        }
    }
    findings
}

/// No more packages than were agreed on.
pub(super) fn check_lock(lock: &str) -> Option<Finding> {
    let count = lock.lines().filter(|line| *line == "[[package]]").count();
    (count > LOCKED_PACKAGES).then(|| Finding {
        file: "Cargo.lock".to_owned(),
        line: 1,
        what: format!("{count} packages, more than {LOCKED_PACKAGES}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that exactly one place of a file is found, at a line and with some words.
    #[track_caller]
    fn fails(file: &str, text: &str, line: usize, what: &str) {
        let findings = check_file(file, text);
        assert!(
            matches!(&findings[..], [one] if one.line == line && one.what.contains(what)),
            "{findings:?}"
        );
    }

    #[track_caller]
    fn passes(file: &str, text: &str) {
        assert_eq!(check_file(file, text), []);
    }

    #[test]
    fn texts_end_cleanly() {
        fails("a.md", "a\nb \n", 2, "trailing");
        fails("a.toml", "a\t\n", 1, "trailing");
        fails("a.md", "a\nb", 2, "newline");
        passes("a.md", "");
        passes("a.md", "caf\u{e9}\n");
    }

    #[test]
    fn source_is_ascii_and_of_moderate_size() {
        fails("a.rs", "// caf\u{e9}\n", 1, "ASCII");
        fails("a.rs", &format!("// {}\n", "x".repeat(98)), 1, "columns");
        passes("a.rs", &format!("// {}\n", "x".repeat(97)));
        fails("a.rs", &"//\n".repeat(601), 601, "600 lines");
        passes("a.rs", &"//\n".repeat(600));
    }

    #[test]
    fn functions_are_short() {
        let function = |head: &str, lines: usize, indent: &str| {
            format!("{head}{}{indent}}}\n", format!("{indent}    a();\n").repeat(lines - 2))
        };
        fails("a.rs", &function("pub(crate) const fn f() {\n", 71, ""), 1, "70 lines");
        passes("a.rs", &function("fn f() {\n", 70, ""));
        let long = function("    unsafe fn f(\n        a: u8,\n    ) {\n", 80, "    ");
        fails("a/sys.rs", &format!("impl A {{\n{long}}}\n"), 2, "70 lines");
        // Declarations, and a type that is a function.
        let many = "    fn a();\n    fn b(\n        c: u8,\n    );\n".repeat(30);
        passes("a.rs", &format!("trait A {{\n{many}}}\nstruct B {{\n    f: fn (u8),\n}}\n"));
    }

    #[test]
    fn what_is_thrown_away_has_a_reason() {
        fails("a.rs", "let _ = f();\n", 1, "reason");
        fails("a.rs", "// Why.\n\n\n\nlet _ = f();\n", 5, "reason");
        passes("a.rs", "// Nobody listens any more.\nlet _ = f();\n");
        passes("a.rs", "let _ = f(); // Nobody listens any more.\n");
        passes("a.rs", "let text = \"let _ = f();\";\n");
    }

    #[test]
    fn silenced_lints_have_a_reason() {
        fails("a.rs", "#[allow(dead_code)]\nfn f() {}\n", 1, "reason");
        fails("a.rs", "#![expect(\n    dead_code\n)]\n", 1, "reason");
        passes("a.rs", "#![expect(\n    dead_code,\n    reason = \"why\"\n)]\n");
        passes("a.rs", "#[allow(dead_code, reason = \"why\")]\nfn f() {}\n");
        passes("a.rs", "// Why.\n#[allow(dead_code)]\nfn f() {}\n");
    }

    #[test]
    fn unsafe_code_is_apart() {
        fails("a/src/b.rs", "let a = unsafe { f() };\n", 1, "unsafe");
        fails("a/src/mysys.rs", "unsafe impl Send for A {}\n", 1, "unsafe");
        passes("a/src/sys.rs", "let a = unsafe { f() };\n");
        passes("a/src/b.rs", "#![forbid(unsafe_code)]\n// unsafe { }\n");
    }

    #[test]
    fn pure_rooms_have_no_way_out() {
        let room = "bbot-agent/src/schedule/plan.rs";
        fails(room, "use std::fs;\n", 1, "pure");
        fails(room, "use std::{collections, io};\n", 1, "pure");
        fails("bbot-agent/src/guest/run.rs", "\nlet now = Instant::now();\n", 2, "pure");
        passes(room, "use std::time::{Duration, Instant};\n// std::fs is not for us\n");
        passes(room, "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n");
        passes("bbot-agent/src/outbox/store.rs", "use std::fs;\n");
    }

    #[test]
    fn libraries_stand_alone() {
        let good = "0bbot-agent v0.1.0 (/x)\n1bbot-lock v0.1.0 (/x)\n0bbot-lock v0.1.0 (/x)\n\
                    1nix v0.31.3\n0bbot-tests v0.1.0 (/x)\n1bbot-lock v0.1.0 (/x)\n";
        assert_eq!(check_dependencies(good), []);
        let bad = format!("{good}0bbot-vm v0.1.0 (/x)\n1bbot-btrfs v0.1.0 (/x)\n");
        let found: Vec<String> = check_dependencies(&bad).iter().map(Finding::to_string).collect();
        assert_eq!(found, ["bbot-vm/Cargo.toml:1: depends on bbot-btrfs"]);
    }

    #[test]
    fn the_lock_file_stays_small() {
        assert_eq!(check_lock(&"[[package]]\n".repeat(LOCKED_PACKAGES)), None);
        assert!(check_lock(&"[[package]]\n".repeat(LOCKED_PACKAGES + 1)).is_some());
    }
}
