//! Reads files of vectors, and compares the results with the expected ones.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::{constraints, parsing, serializing, values};

/// The results of a file.
pub(crate) struct Report {
    pub(crate) file: String,
    pub(crate) passed: usize,
    pub(crate) total: usize,
    pub(crate) differences: Vec<String>,
}

/// Runs the `.jsonl` files of a folder, in the order of their names.
pub(crate) fn run_folder(folder: &Path) -> io::Result<Vec<Report>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no .jsonl files"));
    }
    files.iter().map(|file| run_file(file)).collect()
}

fn run_file(file: &Path) -> io::Result<Report> {
    let kind = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut report = Report {
        file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        passed: 0,
        total: 0,
        differences: Vec::new(),
    };
    for (index, line) in fs::read_to_string(file)?.lines().enumerate() {
        let vector: Value = serde_json::from_str(line)?;
        let expected = &vector["expect"];
        let actual = run_vector(&kind, &vector);
        report.total += 1;
        if actual == *expected {
            report.passed += 1;
        } else {
            let place = format!("{}:{}", report.file, index + 1);
            let mut input = vector.clone();
            input["expect"].take();
            report
                .differences
                .push(format!("{place}: {input}\n  expected: {expected}\n  actual:   {actual}"));
        }
    }
    Ok(report)
}

/// Returns the result of the crate for a vector.
fn run_vector(kind: &str, vector: &Value) -> Value {
    match kind {
        "parse" => parsing::parse(vector),
        "serialize" => serializing::serialize(vector),
        "split_comment" => values::split_comment(vector),
        "merge_comment" => values::merge_comment(vector),
        "stdver" => values::standard_version(vector),
        "stdver_cmp" => values::compare_standard_versions(vector),
        "stdver_constraint" => constraints::standard(vector),
        "semver" => values::semantic_version(vector),
        "pkgver" => values::package_version(vector),
        "pkgver_cmp" => values::compare_package_versions(vector),
        "pkgver_constraint" => constraints::package(vector),
        "pkgname" => values::package_name(vector),
        "pkgname_cmp" => values::compare_package_names(vector),
        "repourl" => values::repository_location(vector),
        _ => json!({ "unknown kind of vector": kind }),
    }
}

/// Returns a text of a vector.
pub(crate) fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap_or_default()
}

/// Whether the vector's `flags` have a word.
pub(crate) fn flag(vector: &Value, word: &str) -> bool {
    text(vector, "flags").split('+').any(|flag| flag == word)
}

/// Returns the message of an error and of its sources, in one line.
pub(crate) fn message(error: &dyn Error) -> String {
    let source = error.source().map_or(String::new(), |source| format!(": {}", message(source)));
    error.to_string() + &source
}

/// Returns `{"ok": ...}` or `{"error": ...}`.
pub(crate) fn outcome<E: Error>(result: Result<Value, E>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": message(&error) }),
    }
}
