//! `test`: every test of the workspace, and one line that says how many passed, failed and were
//! skipped.

use std::fmt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::{command, image, message, setup, workspace};

/// The environment variable that names the image to the system tests.
const IMAGE: &str = "BBOT_FARM_IMAGE";

/// Runs the tests; `selection` goes to the test runner.
pub(crate) fn run(selection: &[&str]) -> Result<ExitCode> {
    setup::ensure()?;
    workspace::build()?;
    let image = image::ensure()?;
    let mut tally = Tally::default();
    let mut succeeded = true;
    for arguments in runners() {
        let mut runner = workspace::cargo(arguments);
        runner.args(selection).env(IMAGE, &image);
        succeeded &= command::watch(runner, |line| tally.add(line))?.success();
    }
    message::print(format_args!("\n{tally}"));
    // With a selection, the other tests are skipped on purpose. A runner that fails without a
    // failed test could not build a test or could not run it.
    let skipped = tally.skipped > 0 && selection.is_empty();
    let good = succeeded && tally.failed == 0 && tally.passed > 0 && !skipped;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the cargo commands that run all tests: nextest, if it is installed, with `cargo test`
/// for the examples in the documentation, which nextest does not run.
fn runners() -> &'static [&'static [&'static str]] {
    let mut nextest = Command::new("cargo-nextest");
    nextest.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if nextest.status().is_ok_and(|status| status.success()) {
        &[
            &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"],
            &["test", "--doc", "--workspace", "--locked", "--no-fail-fast"],
        ]
    } else {
        &[&["test", "--workspace", "--locked", "--no-fail-fast"]]
    }
}

/// The number of tests by outcome.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// Adds the numbers of a runner's summary; other lines are ignored.
    fn add(&mut self, line: &str) {
        // nextest prints the output of a failed test indented, and a summary can be part of it.
        let summary = line.strip_prefix("test result: ");
        let summary = summary.or_else(|| line.trim_start().strip_prefix("Summary ["));
        for count in summary.unwrap_or_default().split(['.', ',', ';', ':', '(', ')']) {
            let mut words = count.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => self.passed += number,
                // nextest has two further kinds of failure: "timed out" and "exec failed".
                Some("failed" | "timed" | "exec") => self.failed += number,
                Some("skipped" | "ignored") => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &str, expected: &str) {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.add(line));
        assert_eq!(tally.to_string(), expected);
    }

    #[test]
    fn summaries_of_nextest_are_counted() {
        check(
            "     Summary [   0.213s] 2 tests run: 2 passed, 4 skipped",
            "2 passed, 0 failed, 4 skipped",
        );
        check(
            "  Summary [   5.127s] 9 tests run: 3 passed (1 slow, 1 leaky), 1 failed, \
             2 timed out, 3 exec failed, 1 skipped",
            "3 passed, 6 failed, 1 skipped",
        );
        check(
            "     Summary [   0.136s] 1 test run: 0 passed, 1 failed, 5 skipped",
            "0 passed, 1 failed, 5 skipped",
        );
    }

    #[test]
    fn summaries_of_cargo_test_are_added_up() {
        check(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.00s\nrunning 3 tests\n\
             test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out",
            "7 passed, 1 failed, 1 skipped",
        );
    }

    #[test]
    fn what_a_failed_test_printed_is_not_counted_again() {
        check(
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored",
            "0 passed, 0 failed, 0 skipped",
        );
    }

    #[test]
    fn other_lines_say_nothing() {
        check(
            "test tests::ten_failed ... ok\n10 passed\nerror: 3 failed",
            "0 passed, 0 failed, 0 skipped",
        );
    }
}
