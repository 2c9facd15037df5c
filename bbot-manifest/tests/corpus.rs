//! Runs the checks of the fuzz targets on their corpora.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::path::Path;

#[path = "corpus/checks.rs"]
mod checks;

/// Runs a check on all files of a corpus.
fn replay(name: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        check(&std::fs::read(&path).unwrap());
        files += 1;
    }
    assert!(files > 10, "{files} files in the corpus {name}");
}

#[test]
fn parse() {
    replay("parse", checks::parse);
}

#[test]
fn serialize() {
    replay("serialize", checks::serialize);
}

#[test]
fn values() {
    replay("values", checks::values);
}

#[test]
fn manifests() {
    replay("manifests", checks::manifests);
}
