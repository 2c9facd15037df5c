//! The shape of texts, as far as rustfmt does not look at it.

use crate::tidy::Finding;
use crate::tidy::source::Source;

/// The longest line of Rust source; rustfmt breaks neither comments nor literals.
const COLUMNS: usize = 100;
/// The longest file of Rust source: one concept a file.
const FILE_LINES: usize = 600;

/// Checks the shape of a text.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    if source.extension() == "rs" { check_rust(source) } else { check_other(source) }
}

/// ASCII only, no long line, no long file.
fn check_rust(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line, what: &str| findings.push(Finding::new(source, line, what));
    for (at, line) in source.text.lines().enumerate() {
        if !line.is_ascii() {
            found(at, "not ASCII");
        }
        if line.chars().count() > COLUMNS {
            found(at, "line of more than 100 columns");
        }
    }
    if source.text.lines().count() > FILE_LINES {
        found(FILE_LINES, "file of more than 600 lines: one concept a file");
    }
    findings
}

/// Clean ends of lines and of the file, which rustfmt sees to in Rust source.
fn check_other(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line, what: &str| findings.push(Finding::new(source, line, what));
    for (at, line) in source.text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            found(at, "trailing blank");
        }
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        found(source.text.lines().count() - 1, "no newline at the end");
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::{fails, passes};

    #[test]
    fn texts_end_cleanly() {
        fails(check, "a.md", "a\nb \n", 2, "trailing");
        fails(check, "a.toml", "a\t\n", 1, "trailing");
        fails(check, "a.md", "a\nb", 2, "newline");
        passes(check, "a.md", "");
        passes(check, "a.md", "caf\u{e9}\n");
    }

    #[test]
    fn source_is_ascii_and_of_moderate_size() {
        fails(check, "a.rs", "// caf\u{e9}\n", 1, "ASCII");
        fails(check, "a.rs", &format!("// {}\n", "x".repeat(98)), 1, "columns");
        passes(check, "a.rs", &format!("// {}\n", "x".repeat(97)));
        fails(check, "a.rs", &"//\n".repeat(601), 601, "600 lines");
        passes(check, "a.rs", &"//\n".repeat(600));
    }
}
