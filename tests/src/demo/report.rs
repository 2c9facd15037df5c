//! The demo's report as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// The content of `report.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Durations of the good build, and of the bootstrap before it.
    pub(super) phases_ms: BTreeMap<&'static str, f64>,
    pub(super) builds: Vec<BuildReport>,
    /// The greatest values of all builds.
    pub(super) overhead_ms: Overhead,
}

#[derive(Debug, Serialize)]
pub(super) struct BuildReport {
    /// `name/version`.
    pub(super) package: String,
    pub(super) status: String,
    pub(super) signature_verified: bool,
    pub(super) artifact_sha256: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Overhead {
    pub(super) task_to_qemu_exec: f64,
    pub(super) result_durable_to_posted: f64,
}

impl Report {
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let write = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?;
            anyhow::Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}
