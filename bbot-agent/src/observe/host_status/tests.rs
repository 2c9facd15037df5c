//! The document about a host that is made of plain files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::*;
use crate::observe::status::ContactOutcome;
use crate::observe::status::tests::PHASES;

/// W43: one free machine, one that this process has locked as instance 1 would; an instance that
/// runs, one that died, one that has left results only; and one invalid status file.
#[test]
fn everything_is_in_the_document() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let write = |name: &str, text: &str| {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), text).unwrap();
    };
    let pid = std::process::id();
    write("machines/default/linux/linux-1.2/manifest", "");
    symlink("linux-1.2", path("machines/default/linux/linux-1")).unwrap();
    write("machines/default/linux/linux-public/manifest", "");
    fs::create_dir(path("machines/default/linux/linux-public-1-4242-0")).unwrap();
    write("machines/default/bsd/bsd-public/manifest", "");
    let mut lock = File::create(path("machines/default/bsd/bsd-public.lock")).unwrap();
    lock.lock().unwrap();
    write!(lock, "{pid} 100").unwrap();
    let instance_lock = File::create(path("1.lock")).unwrap();
    instance_lock.lock().unwrap();
    for (number, pid, phase) in [(1, pid, "building"), (2, 1, "idle")] {
        let status = json!({
            "version": 1, "pid": pid, "instance": format!("public-{number}"), "phase": phase,
            "since": 17, "machine": "linux", "package": "libfoo/1", "holds": [hold()],
            "state-dir": path(&format!("state/public-{number}")),
            "lock": path(&format!("{number}.lock")), "controllers": [
                {"url": "https://a/", "at": 16, "outcome": "failed", "reason": "no answer"},
                {"url": "https://b/", "at": 15, "outcome": "no-task"},
            ],
        });
        write(&format!("run/public-{number}/status.json"), &status.to_string());
    }
    write("run/public-4/status.json", "{");
    write("state/public-3/outbox/00000000001700000000-7.manifest", "12345");
    write("state/public-3/outbox/00000000001700000000-7.manifest.new", "");
    write("state/public-3/dead-letters/00000000002700000001-7.manifest", "1");
    write("state/public-3/dead-letters/00000000002700000001-7.reason", "refused it: 400\n");
    let document = read(&Sources {
        machines: path("machines"),
        runtime: Folders::In(path("run")),
        state: Folders::In(path("state")),
    });
    let document = serde_json::to_value(document).unwrap();
    assert_eq!(document["version"], 1);
    let free = json!({"name": "linux", "volume": "default", "revision": "linux-1.2",
        "toolchains": [{"name": "public", "bootstrapped": true, "state": "free"}]});
    let busy = json!({"name": "bsd", "volume": "default", "revision": null,
        "toolchains": [{"name": "public", "bootstrapped": true, "state": "building",
            "holder": {"pid": pid, "priority": 100, "instance": "public-1"}}]});
    assert_eq!(document["machines"], json!([busy, free]));
    let instances = document["instances"].as_array().unwrap();
    let of = |key: &str| instances.iter().map(|one| one[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("name"), ["public-1", "public-2", "public-3"]);
    assert_eq!(of("running"), [true, false, false]);
    assert_eq!(of("phase"), [json!("building"), json!("idle"), Value::Null]);
    let outbox = json!({"entries": 1, "bytes": 5, "oldest": 1,
        "waiting": [{"id": "00000000001700000000-7", "since": 1, "bytes": 5}],
        "dead-letters": [{"id": "00000000002700000001-7", "since": 2, "bytes": 1,
            "reason": "refused it: 400"}]});
    assert_eq!(of("outbox"), [Value::Null, Value::Null, outbox]);
    let contact =
        json!({"url": "https://a/", "at": 16, "outcome": "failed", "reason": "no answer"});
    assert_eq!(instances[0]["controllers"][0], contact);
    assert_eq!(instances[0]["controllers"][1]["outcome"], "no-task");
    assert_eq!(instances[0]["holds"], json!([hold()]));
    let problems = document["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].as_str().unwrap().contains("public-4/status.json: "), "{problems:?}");
    assert_eq!(names(&document), schema());
}

/// A guest that is held, with all its values.
fn hold() -> Value {
    json!({
        "reason": "build timeout", "machine": "linux", "package": "libfoo/1", "until": 18,
        "qemu-pid": 7, "vnc": "127.0.0.1:5901", "monitor": "/run/m", "console-log": "/run/c",
        "mac": "02:00:00:00:00:01", "snapshot": "/build/s",
    })
}

const README: &str = include_str!("../../../README.md");

/// Returns the names in a document, each with its parents: `machines[].name`.
fn names(document: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    add_names("", document, &mut names);
    names
}

fn add_names(place: &str, value: &Value, names: &mut BTreeSet<String>) {
    for element in value.as_array().into_iter().flatten() {
        add_names(&format!("{place}[]"), element, names);
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}").trim_start_matches('.').to_owned();
        add_names(&place, value, names);
        names.insert(place);
    }
}

/// Returns the texts between backquotes.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the rows of the table in the README: the names, and their explanation.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let table = README.split_once("| name | what it is |\n|---|---|\n").unwrap().1;
    table.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
}

/// Returns the names in the example in the README, and those that it explains of what is not in the
/// example: of holds, and of the reasons of controllers.
fn schema() -> BTreeSet<String> {
    let example = README.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    let mut schema = names(&serde_json::from_str(example).unwrap());
    schema.extend(
        explained("instances[].holds[]").iter().map(|name| format!("instances[].holds[].{name}")),
    );
    assert!(explained("instances[].controllers[]").contains(&"reason"));
    schema.insert("instances[].controllers[].reason".to_owned());
    schema
}

/// Returns the words between backquotes in the README's explanation of `place`.
pub(super) fn explained(place: &str) -> Vec<&'static str> {
    let (_, text) = rows().find(|(about, _)| code(about).any(|name| name == place)).unwrap();
    code(text).collect()
}

/// W43: the README explains each phase and each outcome, and no name that does not exist.
#[test]
fn the_readme_is_true() {
    let phases = explained("instances[].phase");
    assert_eq!(phases, PHASES.map(|phase| serde_json::to_value(phase).unwrap()));
    let outcomes = explained("instances[].controllers[]");
    let refused = ContactOutcome::TaskRefused(String::new());
    for said in [
        ContactOutcome::NoTask,
        ContactOutcome::Task,
        refused,
        ContactOutcome::Failed(String::new()),
    ] {
        let said = serde_json::to_value(said).unwrap();
        assert!(outcomes.iter().any(|word| said["outcome"] == *word), "{said}");
    }
    let schema = schema();
    let mut above = "";
    for (about, _) in rows() {
        for name in code(about) {
            let name = name.trim_end_matches("[]");
            // The dots stand for the parents of the row before; a single word has those of the
            // name before it.
            let full = match name.strip_prefix("\u{2026}") {
                Some(name) => format!("machines[].toolchains[].{name}"),
                None if name.contains('.') => name.to_owned(),
                None => format!("{above}.{name}"),
            };
            assert!(schema.contains(&full), "{full}");
            above = name.rsplit_once('.').map_or(above, |(place, _)| place);
        }
    }
}

/// W43: on a host without machines and instances the document is empty.
#[test]
fn an_empty_host_is_no_error() {
    let root = tempfile::tempdir().unwrap();
    let document = read(&Sources {
        machines: root.path().into(),
        runtime: Folders::In(root.path().join("no-run")),
        state: Folders::In(root.path().join("no-state")),
    });
    assert!(document.machines.is_empty() && document.instances.is_empty());
    assert!(document.problems.is_empty(), "{:?}", document.problems);
}
