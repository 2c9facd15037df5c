//! What no other tool checks: the rules of this workspace that a program can verify.

mod circles;
mod citations;
mod dependencies;
mod invariants;
mod paths;
mod rule_pages;
mod source;
mod system_calls;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

use self::source::Source;

/// The crates whose imports are checked for circles.
const CRATES: [&str; 6] =
    ["bbot-manifest", "bbot-lock", "bbot-btrfs", "bbot-tftp", "bbot-vm", "bbot-agent"];

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl Finding {
    /// A finding in a line that is counted from 0.
    fn new(source: &Source, line: usize, what: &str) -> Self {
        Self { file: source.file.clone(), line: line + 1, what: what.to_owned() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, what } = self;
        write!(f, "{file}:{line}: {what}")
    }
}

/// Returns all findings in the workspace.
pub(crate) fn findings() -> Result<Vec<Finding>> {
    let files = files()?;
    let sources = sources(files.iter().filter(|file| is_text(file)))?;
    let known = citations::Known::new(&sources, files.iter().map(PathBuf::from));
    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(text::check(source));
        findings.extend(known.check(source));
        if source.extension() == "rs" {
            findings.extend(invariants::check(source));
            findings.extend(system_calls::check(source));
        }
    }
    findings.extend(rule_pages::check(&sources));
    let crates = CRATES.map(|name| format!("{name}/src/"));
    findings.extend(crates.iter().flat_map(|folder| circles::check(folder, &sources)));
    let mut tree = workspace::cargo(&["tree", "--workspace", "--locked", "--depth", "1"]);
    let tree = command::output(tree.args(["--prefix", "depth", "--edges", "normal,build,dev"]))?;
    findings.extend(dependencies::check_libraries(&String::from_utf8_lossy(&tree)));
    let lock = fs::read_to_string(workspace::root().join("Cargo.lock")).context("Cargo.lock")?;
    findings.extend(dependencies::check_lock(&lock));
    Ok(findings)
}

/// The files that git tracks or would add.
fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listing = command::output(git.current_dir(workspace::root()))?;
    let listing = String::from_utf8_lossy(&listing);
    // A deleted file is listed until the deletion is committed.
    let is_there = |file: &&str| workspace::root().join(file).is_file();
    Ok(listing.lines().filter(is_there).map(str::to_owned).collect())
}

/// Reads files; those that are modules of tests only are tests as a whole.
fn sources<'a>(files: impl Iterator<Item = &'a String>) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for file in files {
        let path = workspace::root().join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        sources.push(Source::new(file, &text));
    }
    let tests: BTreeSet<String> = sources.iter().flat_map(test_files).collect();
    for source in sources.iter_mut().filter(|source| tests.contains(&source.file)) {
        source.make_test();
    }
    Ok(sources)
}

/// The files in which the modules of tests that a file declares may be.
fn test_files(source: &Source) -> Vec<String> {
    let file = source.file.strip_suffix(".rs").unwrap_or(&source.file);
    let folder = ["/mod", "/lib", "/main"].iter().find_map(|root| file.strip_suffix(root));
    let folder = folder.unwrap_or(file);
    let names = source.test_modules().into_iter();
    names
        .flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")])
        .collect()
}

/// Whether a file is one of our texts, and not test data.
fn is_text(file: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    file.starts_with("tests/guest/")
        || matches!(extension, Some("rs" | "toml" | "md" | "sh" | "service"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that exactly one place of a file is found, at a line and with some words.
    #[track_caller]
    pub(super) fn fails(
        check: fn(&Source) -> Vec<Finding>,
        file: &str,
        text: &str,
        line: usize,
        what: &str,
    ) {
        let findings = check(&Source::new(file, text));
        assert!(
            matches!(&findings[..], [one] if one.line == line && one.what.contains(what)),
            "{findings:?}"
        );
    }

    #[track_caller]
    pub(super) fn passes(check: fn(&Source) -> Vec<Finding>, file: &str, text: &str) {
        assert_eq!(check(&Source::new(file, text)), []);
    }

    #[test]
    fn the_workspace_is_tidy() {
        let findings: Vec<String> = findings().unwrap().iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn texts_are_told_from_data() {
        for text in ["a/src/b.rs", "README.md", "tests/guest/root/usr/bin/worker"] {
            assert!(is_text(text), "{text}");
        }
        for data in ["bbot-manifest/tests/data/a.manifest", "Cargo.lock", "LICENSE"] {
            assert!(!is_text(data), "{data}");
        }
    }

    #[test]
    fn modules_of_tests_are_found_beside_or_below_their_parent() {
        let text = "#[cfg(test)]\nmod laws;\n";
        assert_eq!(test_files(&Source::new("a/src/b/mod.rs", text))[0], "a/src/b/laws.rs");
        assert_eq!(test_files(&Source::new("a/src/b.rs", text))[1], "a/src/b/laws/mod.rs");
    }
}
