//! What was promised and what was kept in a run: plain values, and their evaluation.

mod artifacts;
mod record;
mod results;

#[cfg(test)]
mod tests;

pub use record::{ArtifactId, EndState, History, Post, SessionResult, Upload};
pub use results::Evaluation;
