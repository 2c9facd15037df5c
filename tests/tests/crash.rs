//! The agent is killed again and again; and the tracer that kills it.

use std::process::Command;
use std::sync::Mutex;

use bbot_tests::campaign::{CampaignOptions, campaign};
use bbot_tests::harness::programs;

/// W3, W4, W33, W34, W38, W41, I4, I5: whenever the agent is killed, what it had promised is kept
/// by the next one, no session gets two answers, and nothing is left.
///
/// The seeds are fixed, so that a failure can be repeated; `cargo xtask crash` tries others.
#[test]
fn a_killed_agent_keeps_its_promises() {
    let failures = Mutex::new(Vec::new());
    let report = |text: &str| failures.lock().unwrap().push(text.to_owned());
    let summary = campaign(CampaignOptions { runs: 5, seed: 25, jobs: 1 }, &report);
    let failures = failures.into_inner().unwrap();
    assert_eq!(summary.failed, 0, "{}", failures.join("\n\n"));
    assert!((12..=20).contains(&summary.crashes), "{summary}");
    assert!(summary.answered >= 10, "{summary}");
    assert!(summary.artifacts >= 5, "{summary}");
}

/// A traced program is killed before the given effect, and not before another one.
#[test]
fn a_program_is_killed_at_its_effect() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let run = |kill: &[&str]| {
        let mut command = Command::new(programs::find("bbot-crash").unwrap());
        command.arg("trace").args(kill).arg("--log").arg(&log);
        command.args(["--", "sh", "-c", ": > a; : > b; : > c; exit 3"]);
        command.current_dir(folder.path()).status().unwrap().code()
    };
    let is_there = |name: &str| folder.path().join(name).is_file();
    assert_eq!(run(&["--kill", "2"]), Some(128 + 9));
    assert_eq!(["a", "b", "c"].map(is_there), [true, false, false]);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "1 create a\n2 create b\n");
    assert_eq!(run(&[]), Some(3));
    assert_eq!(["a", "b", "c"].map(is_there), [true; 3]);
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 3);
}
