//! What no other tool looks at: the rules of the workspace that a program can check.

mod rules;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, what } = self;
        write!(f, "{file}:{line}: {what}")
    }
}

/// Everything untidy in the workspace.
pub(crate) fn findings() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files()? {
        let path = workspace::root().join(&file);
        // A deleted file is listed until the deletion is committed.
        if path.is_file() {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            findings.extend(rules::check_file(&file, &text));
        }
    }
    let mut tree = workspace::cargo(&["tree", "--workspace", "--locked", "--depth", "1"]);
    let tree = command::output(tree.args(["--prefix", "depth", "--edges", "normal,build,dev"]))?;
    findings.extend(rules::check_dependencies(&String::from_utf8_lossy(&tree)));
    let lock = fs::read_to_string(workspace::root().join("Cargo.lock")).context("Cargo.lock")?;
    findings.extend(rules::check_lock(&lock));
    Ok(findings)
}

/// The texts of ours: what git knows or would add, but for test data.
fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listing = command::output(git.current_dir(workspace::root()))?;
    let listing = String::from_utf8_lossy(&listing).into_owned();
    Ok(listing.lines().filter(|file| is_text(file)).map(str::to_owned).collect())
}

fn is_text(file: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    file.starts_with("tests/guest/")
        || matches!(extension, Some("rs" | "toml" | "md" | "sh" | "service"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
