//! What the agent itself costs, measured with the real agent on a real volume.

mod builds;
mod ends;
mod enumeration;
mod hanging;
mod idle;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// Far more than any single step takes.
const LIMIT: Duration = Duration::from_secs(300);

/// One thing that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Its name, for programs.
    pub name: String,
    /// What it is, for people.
    #[serde(skip)]
    pub what: String,
    /// How much it is.
    pub value: f64,
    /// Of what: `ms`, `KiB`, `%`, `x` (how many times as much), or nothing for a count.
    pub unit: &'static str,
    /// What it must not exceed, if anything.
    pub limit: Option<f64>,
}

impl Figure {
    fn new(name: impl Into<String>, what: impl Into<String>, value: f64) -> Figure {
        Figure { name: name.into(), what: what.into(), value, unit: "", limit: None }
    }

    fn millis(name: impl Into<String>, what: impl Into<String>, value: f64) -> Figure {
        Figure { unit: "ms", ..Figure::new(name, what, value) }
    }

    fn at_most(self, limit: f64) -> Figure {
        Figure { limit: Some(limit), ..self }
    }

    /// Whether it exceeds its limit.
    pub fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.value > limit)
    }
}

/// Measures everything; `tell` hears of each figure at once.
///
/// # Errors
/// If the farm cannot be made, or the agent does not do what it should.
pub fn measure(mut tell: impl FnMut(&Figure) -> Result<()>) -> Result<Vec<Figure>> {
    let mut all = Vec::new();
    let parts =
        [enumeration::measure, builds::measure, idle::measure, ends::measure, hanging::measure];
    for part in parts {
        let figures = part()?;
        figures.iter().try_for_each(&mut tell)?;
        all.extend(figures);
    }
    Ok(all)
}

/// A figure in one line for people, with what it must not exceed.
pub fn line(figure: &Figure) -> String {
    let Figure { what, value, unit, .. } = figure;
    let mut line = format!("{what:<52}{value:>10.2} {unit:<4}");
    if let Some(limit) = figure.limit {
        let verdict = if figure.is_over() { ", EXCEEDED" } else { "" };
        write!(line, " (limit {limit}{verdict})").expect("a string takes everything");
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

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn greatest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}

/// The middle value; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn what_exceeds_its_limit_is_marked() {
        let figure = |value| Figure::millis("x", "X", value).at_most(2.0);
        assert!(line(&figure(2.0)).ends_with("2.00 ms   (limit 2)"), "{}", line(&figure(2.0)));
        assert!(line(&figure(2.1)).ends_with("2.10 ms   (limit 2, EXCEEDED)"));
        assert!(!Figure::new("x", "X", 9.0).is_over());
    }
}
