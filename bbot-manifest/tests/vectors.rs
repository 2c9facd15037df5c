//! The test vectors: the results of the C++ implementation for thousands of inputs.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

#[path = "../examples/vectors/constraints.rs"]
mod constraints;
#[path = "../examples/vectors/parsing.rs"]
mod parsing;
#[path = "../examples/vectors/runner.rs"]
mod runner;
#[path = "../examples/vectors/serializing.rs"]
mod serializing;
#[path = "../examples/vectors/values.rs"]
mod values;

use std::path::Path;

#[test]
fn all_vectors_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let reports = runner::run_folder(&folder).unwrap();
    let files = reports.iter().map(|report| report.file.as_str()).collect::<Vec<_>>();
    assert_eq!(files.len(), 14, "{files:?}");
    for report in reports {
        let shown = report.differences.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
        assert_eq!(report.passed, report.total, "{}:\n{shown}", report.file);
    }
}
