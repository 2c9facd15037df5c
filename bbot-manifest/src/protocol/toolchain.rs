//! The toolchain that a machine was bootstrapped with.

use crate::error::Error;
use crate::protocol::manifest::{Body, single_manifest};
use crate::protocol::record::{PairExt, Record, required};
use crate::protocol::writer::Writer;

/// A toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolchainManifest {
    /// The toolchain's id, which changes with the toolchain.
    pub id: String,
}

impl ToolchainManifest {
    /// Returns a toolchain with this id.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into() }
    }
}

single_manifest!(ToolchainManifest);

impl Body for ToolchainManifest {
    fn read(record: Record<'_>) -> Result<Self, Error> {
        let mut id = None;
        for pair in &record.pairs {
            match pair.name {
                "id" => pair.put(&mut id, pair.filled()?)?,
                _ => return Err(pair.unknown("toolchain")),
            }
        }
        Ok(Self { id: required(id, "id", record.end_at)? })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.pair("id", &self.id)
    }
}
