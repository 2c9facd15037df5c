//! The artifacts that the controller accepted.

use std::io::Read;

use anyhow::{Context, Result, bail};

use crate::harness::controller::{Artifact, Controller, Outcome, Receipt, hex_sha256};

/// An artifact that the controller has accepted: it has checked digest and signature.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The artifact.
    pub(super) artifact: Artifact,
    /// The name of the one file in its archive.
    pub(super) file: String,
    /// The SHA-256 of that file.
    pub(super) sha256: String,
}

/// The accepted artifacts, in the order of their uploads.
///
/// # Errors
/// If one was not accepted.
pub(super) fn accepted(controller: &Controller) -> Result<Vec<Accepted>> {
    let mut accepted = Vec::new();
    for exchange in controller.exchanges() {
        match &exchange.outcome {
            Outcome::Artifact { receipt: Receipt::Queued, .. } => {
                let artifact = Artifact::parse(&exchange.request).map_err(anyhow::Error::msg)?;
                let (file, sha256) = content(&artifact)?;
                accepted.push(Accepted { artifact, file, sha256 });
            }
            Outcome::Artifact { instance, receipt, .. } => {
                bail!("artifact {instance}: {receipt:?}")
            }
            _ => {}
        }
    }
    Ok(accepted)
}

/// Name and SHA-256 of the one file in an artifact's archive.
fn content(artifact: &Artifact) -> Result<(String, String)> {
    let mut archive = tar::Archive::new(&*artifact.archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let name = entry.path()?.file_name().context("a file without a name")?.to_os_string();
        return Ok((name.to_string_lossy().into_owned(), hex_sha256(&bytes)));
    }
    bail!("no file in the artifact {}", artifact.instance)
}
