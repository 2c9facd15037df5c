//! What could not be read.

use std::fmt::Display;
use std::path::Path;

/// The texts of the problems so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, path: &Path, problem: impl Display) {
        self.add_text(format!("{}: {problem}", path.display()));
    }

    pub(super) fn add_text(&mut self, text: String) {
        self.0.push(text);
    }

    /// Returns the value, or `None` after adding the error as a problem.
    pub(super) fn keep<T>(&mut self, path: &Path, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|problem| self.add(path, problem)).ok()
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.0
    }
}
