//! Machines.

use crate::error::Error;
use crate::protocol::manifest::{Body, single_manifest};
use crate::protocol::record::{PairExt, Record, required};
use crate::protocol::writer::Writer;
use crate::text::Pair;
use crate::value::mac_address::MacAddress;
use crate::value::machine_name::MachineName;
use crate::value::machine_role::MachineRole;
use crate::value::machine_type::MachineType;
use crate::value::quoting::{QuotingError, unquote_words};

/// What controllers are told about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineHeader {
    /// The machine's version, which changes with anything that can change the result of a build.
    pub id: String,
    /// The machine's name.
    pub name: MachineName,
    /// One line about the machine.
    pub summary: String,
    /// The role, if it is given; see [`effective_role`](Self::effective_role).
    pub role: Option<MachineRole>,
    /// The least RAM that the machine needs, in KiB.
    pub ram_minimum: Option<u64>,
    /// The most RAM that the machine can use, in KiB.
    pub ram_maximum: Option<u64>,
}

/// The manifest of a machine, by its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineManifest {
    /// What controllers are told.
    pub header: MachineHeader,
    /// The value `type`.
    pub kind: MachineType,
    /// The Ethernet address; if it is absent, the agent assigns one.
    pub mac: Option<MacAddress>,
    /// Options of the hypervisor that replace those of the default devices: a list of quoted words.
    pub options: Option<String>,
    /// The changes from version to version.
    pub changes: Vec<String>,
}

impl MachineHeader {
    /// Returns a header with the required values.
    pub fn new(id: impl Into<String>, name: MachineName, summary: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name,
            summary: summary.into(),
            role: None,
            ram_minimum: None,
            ram_maximum: None,
        }
    }

    /// Returns the role: to build, unless another one is given.
    pub fn effective_role(&self) -> MachineRole {
        self.role.unwrap_or(MachineRole::Build)
    }
}

impl MachineManifest {
    /// Returns a machine with the required values.
    pub fn new(header: MachineHeader, kind: MachineType) -> Self {
        Self { header, kind, mac: None, options: None, changes: Vec::new() }
    }

    /// Splits the options into words.
    ///
    /// # Errors
    ///
    /// A quote in the options is not closed. Parsing a manifest refuses such options.
    pub fn unquoted_options(&self) -> Result<Option<Vec<String>>, QuotingError> {
        self.options.as_deref().map(unquote_words).transpose()
    }
}

single_manifest!(MachineHeader);
single_manifest!(MachineManifest);

/// The values of a header, as far as they have been read.
#[derive(Default)]
struct HeaderValues {
    id: Option<String>,
    name: Option<MachineName>,
    summary: Option<String>,
    role: Option<MachineRole>,
    ram_minimum: Option<u64>,
    ram_maximum: Option<u64>,
}

impl HeaderValues {
    /// Reads a value; returns whether it is one of a header.
    fn take(&mut self, pair: &Pair<'_>) -> Result<bool, Error> {
        match pair.name {
            "id" => pair.put(&mut self.id, pair.filled()?)?,
            "name" => pair.put(&mut self.name, pair.parsed()?)?,
            "summary" => pair.put(&mut self.summary, pair.filled()?)?,
            "role" => pair.put(&mut self.role, pair.parsed()?)?,
            "ram-minimum" => pair.put(&mut self.ram_minimum, pair.number()?)?,
            "ram-maximum" => pair.put(&mut self.ram_maximum, pair.number()?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self, record: &Record<'_>) -> Result<MachineHeader, Error> {
        Ok(MachineHeader {
            id: required(self.id, "id", record.end_at)?,
            name: required(self.name, "name", record.end_at)?,
            summary: required(self.summary, "summary", record.end_at)?,
            role: self.role,
            ram_minimum: self.ram_minimum,
            ram_maximum: self.ram_maximum,
        })
    }
}

impl Body for MachineHeader {
    fn read(record: Record<'_>) -> Result<Self, Error> {
        let mut header = HeaderValues::default();
        for pair in &record.pairs {
            if !header.take(pair)? {
                return Err(pair.unknown("machine header"));
            }
        }
        header.finish(&record)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.pair("id", &self.id)?;
        writer.pair("name", &self.name)?;
        writer.pair("summary", &self.summary)?;
        writer.optional("role", self.role)?;
        writer.optional("ram-minimum", self.ram_minimum)?;
        writer.optional("ram-maximum", self.ram_maximum)
    }
}

impl Body for MachineManifest {
    fn read(record: Record<'_>) -> Result<Self, Error> {
        let mut header = HeaderValues::default();
        let (mut kind, mut mac, mut options) = (None, None, None);
        let mut changes = Vec::new();
        for pair in &record.pairs {
            match pair.name {
                "type" => pair.put(&mut kind, pair.parsed()?)?,
                "mac" => pair.put(&mut mac, pair.parsed()?)?,
                "options" => {
                    unquote_words(&pair.value).map_err(|error| pair.invalid(error))?;
                    pair.put(&mut options, pair.filled()?)?;
                }
                "changes" => changes.push(pair.filled()?),
                _ if header.take(pair)? => {}
                _ => return Err(pair.unknown("machine")),
            }
        }
        let kind = required(kind, "type", record.end_at);
        Ok(Self { header: header.finish(&record)?, kind: kind?, mac, options, changes })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        self.header.write(writer)?;
        writer.pair("type", self.kind)?;
        writer.optional("mac", self.mac)?;
        writer.optional("options", self.options.as_ref())?;
        writer.repeated("changes", &self.changes)
    }
}
