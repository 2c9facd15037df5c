//! Machines: what an agent says about them, and what their own manifest says.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::event::Pair;
use crate::manifest::Body;
use crate::manifest::record::{PairExt, Record, Writer, required};
use crate::quoting::{QuotingError, unquote_words};
use crate::value::mac_address::MacAddress;
use crate::value::machine_name::MachineName;
use crate::value_error::ValueError;

/// What an agent tells a controller about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineHeader {
    /// The machine's version: it changes whenever a build result could.
    pub id: String,
    /// The machine's name.
    pub name: MachineName,
    /// One line about the machine.
    pub summary: String,
    /// What the machine is for; [`effective_role`](Self::effective_role) if that does not matter.
    pub role: Option<MachineRole>,
    /// The RAM that the machine needs, in KiB.
    pub ram_minimum: Option<u64>,
    /// The RAM that the machine can use, in KiB.
    pub ram_maximum: Option<u64>,
}

/// A machine's own manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineManifest {
    /// What the agent tells controllers.
    pub header: MachineHeader,
    /// The value `type`.
    pub kind: MachineType,
    /// The Ethernet address that the machine is to have.
    pub mac: Option<MacAddress>,
    /// Options of the hypervisor that replace the usual devices: a list of quoted words.
    pub options: Option<String>,
    /// What has changed from version to version.
    pub changes: Vec<String>,
}

macro_rules! words {
    (
        $(#[$doc:meta])* $name:ident, $expected:literal,
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal),*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(ValueError::Word($expected)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $word,)*
                })
            }
        }

        crate::text_value::serde_as_text!($name);
    };
}

words! {
    /// What a machine is for.
    MachineRole, "build or auxiliary",
    /// It builds packages.
    Build = "build",
    /// It provides something that a build needs, such as a database.
    Auxiliary = "auxiliary"
}

words! {
    /// What runs a machine.
    MachineType, "kvm or nspawn",
    /// A virtual machine.
    Kvm = "kvm",
    /// A container.
    Nspawn = "nspawn"
}

impl MachineHeader {
    /// Returns what the machine is for: to build, unless something else is said.
    pub fn effective_role(&self) -> MachineRole {
        self.role.unwrap_or(MachineRole::Build)
    }
}

impl MachineManifest {
    /// Splits the options into words.
    ///
    /// # Errors
    ///
    /// A quote in the options is not closed; not if they were parsed.
    pub fn unquoted_options(&self) -> Result<Option<Vec<String>>, QuotingError> {
        self.options.as_deref().map(unquote_words).transpose()
    }
}

/// The values of a header, as far as they have been seen.
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
    /// Takes a value; returns whether it is one of a header.
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
