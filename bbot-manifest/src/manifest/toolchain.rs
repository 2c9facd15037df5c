//! The toolchain that a machine was bootstrapped with.

use crate::error::Error;
use crate::manifest::Body;
use crate::manifest::record::{PairExt, Record, Writer, required};

/// A toolchain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolchainManifest {
    /// The toolchain's id; it changes when the toolchain does.
    pub id: String,
}

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
