//! What the packages of the workspace depend on (I1).

use crate::tidy::Finding;
use crate::tidy::invariants::LIBRARIES;

/// More packages than this in Cargo.lock ask for a decision: each of them is code that runs as
/// root, and time to compile.
const LOCKED_PACKAGES: usize = 260;

/// No library depends on another one, or on anyhow, whose errors have no types: `tree` is what
/// `cargo tree --depth 1 --prefix depth` prints.
pub(super) fn check_libraries(tree: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut library = None;
    for line in tree.lines() {
        let name = line.get(1..).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let ours = LIBRARIES.iter().find(|ours| **ours == name);
        match (line.as_bytes().first(), library) {
            (Some(b'0'), _) => library = ours,
            (Some(b'1'), Some(library)) if ours.is_some() || name == "anyhow" => {
                let file = format!("{library}/Cargo.toml");
                findings.push(Finding { file, line: 1, what: format!("depends on {name} (I1)") });
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

    #[test]
    fn libraries_stand_alone() {
        let good = "0bbot-agent v0.1.0 (/x)\n1bbot-lock v0.1.0 (/x)\n1anyhow v1.0.1\n\
                    0bbot-lock v0.1.0 (/x)\n1nix v0.31.3\n0bbot-tests v0.1.0 (/x)\n\
                    1bbot-lock v0.1.0 (/x)\n";
        assert_eq!(check_libraries(good), []);
        let bad = format!("{good}0bbot-vm v0.1.0 (/x)\n1bbot-btrfs v0.1.0 (/x)\n1anyhow v1.0.1\n");
        let found: Vec<String> = check_libraries(&bad).iter().map(Finding::to_string).collect();
        let expected = ["depends on bbot-btrfs (I1)", "depends on anyhow (I1)"];
        assert_eq!(found, expected.map(|what| format!("bbot-vm/Cargo.toml:1: {what}")));
    }

    #[test]
    fn the_lock_file_stays_small() {
        assert_eq!(check_lock(&"[[package]]\n".repeat(LOCKED_PACKAGES)), None);
        assert!(check_lock(&"[[package]]\n".repeat(LOCKED_PACKAGES + 1)).is_some());
    }
}
