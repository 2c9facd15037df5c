//! The figures of a bench, and their output.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// A measured value.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Its name in the JSON file.
    pub name: String,
    /// Its description.
    #[serde(skip)]
    pub what: String,
    /// The value, in `unit`.
    pub value: f64,
    /// `ms`, `KiB`, `%`, `x` (a factor), or empty for a count.
    pub unit: &'static str,
    /// The greatest permitted value, if there is one.
    pub limit: Option<f64>,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, what: impl Into<String>, value: f64) -> Figure {
        Figure { name: name.into(), what: what.into(), value, unit: "", limit: None }
    }

    pub(super) fn millis(name: impl Into<String>, what: impl Into<String>, value: f64) -> Figure {
        Figure { unit: "ms", ..Figure::new(name, what, value) }
    }

    pub(super) fn at_most(self, limit: f64) -> Figure {
        Figure { limit: Some(limit), ..self }
    }

    /// Whether it exceeds its limit.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.value > limit)
    }
}

/// A figure in one line, with its limit.
pub fn line(figure: &Figure) -> String {
    let Figure { what, value, unit, .. } = figure;
    let mut line = format!("{what:<52}{value:>10.2} {unit:<4}");
    if let Some(limit) = figure.limit {
        let verdict = if figure.is_over() { ", EXCEEDED" } else { "" };
        write!(line, " (limit {limit}{verdict})").expect("writing to a string does not fail");
    }
    line
}

/// Writes the figures as JSON.
///
/// # Errors
/// If the file cannot be written.
pub fn write(figures: &[Figure], path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_its_limit_is_marked() {
        let figure = |value| Figure::millis("x", "X", value).at_most(2.0);
        assert!(line(&figure(2.0)).ends_with("2.00 ms   (limit 2)"), "{}", line(&figure(2.0)));
        assert!(line(&figure(2.1)).ends_with("2.10 ms   (limit 2, EXCEEDED)"));
        assert!(!Figure::new("x", "X", 9.0).is_over());
    }
}
