//! The pages of rules: each rule names the files of its code and of its tests.

use crate::tidy::Finding;
use crate::tidy::citations::{defined, numbers};
use crate::tidy::source::Source;

/// The pages whose rules have code and tests.
const PAGES: [&str; 2] = ["bbot-agent/docs/rules.md", "bbot-tftp/docs/rules.md"];

/// A rule of a page.
#[derive(Debug)]
struct Rule<'a> {
    number: &'a str,
    /// Its line in the page, counted from 0.
    line: usize,
    /// Its line `Code: ... Tests: ...`.
    files: Option<(usize, &'a str)>,
}

/// Checks the pages among the sources.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let pages = sources.iter().filter(|source| PAGES.contains(&source.file.as_str()));
    pages.flat_map(|page| check_page(page, sources)).collect()
}

fn check_page(page: &Source, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in rules(&page.prose) {
        let number = rule.number;
        let is_tested = sources.iter().any(|source| is_named_by_a_test(source, number));
        if !is_tested {
            findings.push(Finding::new(page, rule.line, &format!("no test names {number}")));
        }
        let Some((at, line)) = rule.files else {
            let what = format!("{number} has no line `Code: ... Tests: ...`");
            findings.push(Finding::new(page, rule.line, &what));
            continue;
        };
        let (code, tests) = line.split_once("Tests:").unwrap_or((line, ""));
        for (what, list) in [("code", code), ("test", tests)] {
            let files: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
            if files.is_empty() {
                findings.push(Finding::new(page, at, &format!("{number} names no {what}")));
            }
            let wrong = files.into_iter().filter(|file| !is_named_in(sources, file, number));
            let wrong = wrong.map(|file| format!("{file} does not name {number}"));
            findings.extend(wrong.map(|what| Finding::new(page, at, &what)));
        }
    }
    findings
}

/// The rules of a page, each up to the next one or to a heading.
fn rules(text: &str) -> Vec<Rule<'_>> {
    let mut rules: Vec<Rule<'_>> = Vec::new();
    let mut is_open = false;
    for (line, text) in text.lines().enumerate() {
        if let Some(number) = defined(text) {
            rules.push(Rule { number, line, files: None });
            is_open = true;
        } else if text.starts_with('#') {
            is_open = false;
        } else if let Some(rule) = rules.last_mut().filter(|_| is_open)
            && text.starts_with("Code:")
        {
            rule.files = Some((line, text));
        }
    }
    rules
}

/// Whether the comments or texts of a test name the rule.
fn is_named_by_a_test(source: &Source, number: &str) -> bool {
    let mut lines = source.text.lines().enumerate();
    lines.any(|(at, line)| source.is_test(at) && numbers(line).any(|named| named == number))
}

/// Whether there is this file and it names the rule.
fn is_named_in(sources: &[Source], file: &str, number: &str) -> bool {
    let source = sources.iter().find(|source| source.file == file);
    source.is_some_and(|source| numbers(&source.text).any(|named| named == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a page with this text, beside a file of code and one of tests.
    fn found(page: &str) -> Vec<String> {
        let sources = [
            Source::new("bbot-agent/docs/rules.md", page),
            Source::new("a/src/b.rs", "// W1, W2\n#[cfg(test)]\nmod tests {\n    // W3\n}\n"),
            Source::new("a/tests/c.rs", "// W1\n"),
        ];
        check(&sources).into_iter().map(|found| format!("{}: {}", found.line, found.what)).collect()
    }

    #[test]
    fn rules_name_their_code_and_tests() {
        assert_eq!(found("**W1** A.\nB.\n\nCode: `a/src/b.rs`. Tests: `a/tests/c.rs`.\n"), [""; 0]);
        assert_eq!(found("**W3** A.\nCode: `a/src/b.rs`. Tests: `a/src/b.rs`.\n"), [""; 0]);
        assert_eq!(found("**W1** A.\n"), ["1: W1 has no line `Code: ... Tests: ...`"]);
        let other = "**W1** A.\n## B\nCode: `a/src/b.rs`. Tests: `a/tests/c.rs`.\n";
        assert_eq!(found(other), ["1: W1 has no line `Code: ... Tests: ...`"]);
        let files = "**W1** A.\nCode: `a/src/d.rs`. Tests: .\n";
        assert_eq!(found(files), ["2: a/src/d.rs does not name W1", "2: W1 names no test"]);
    }

    #[test]
    fn each_rule_has_a_test() {
        let untested = "**W2** A.\nCode: `a/src/b.rs`. Tests: `a/src/b.rs`.\n";
        assert_eq!(found(untested), ["1: no test names W2"]);
    }
}
