//! What a worker reports after it has bootstrapped a machine, and what the agent keeps of it.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::protocol::machine::MachineManifest;
use crate::protocol::manifest::{
    Body, Manifest, parse_stream, single_manifest, write_manifest, write_stream,
};
use crate::protocol::record::{PairExt, Record};
use crate::protocol::toolchain::ToolchainManifest;
use crate::protocol::writer::Writer;
use crate::text::Lines;
use crate::version::StandardVersion;

/// The versions of a worker and of its libraries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BootstrapManifest {
    /// The values `<package>-version`, by package.
    pub versions: BTreeMap<String, StandardVersion>,
    /// The version that the agent compared them with, which the agent adds.
    pub agent_version: Option<StandardVersion>,
}

/// A machine that has been bootstrapped.
///
/// An empty manifest before the three is accepted, as older agents may have written one (D3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BootstrappedMachine {
    /// The machine. Its Ethernet address is set.
    pub machine: MachineManifest,
    /// The toolchain.
    pub toolchain: ToolchainManifest,
    /// The worker's versions.
    pub bootstrap: BootstrapManifest,
}

/// The name of [`BootstrapManifest::agent_version`].
const AGENT_VERSION: &str = "bbot-agent-version";

impl Body for BootstrapManifest {
    fn read(record: Record<'_>) -> Result<Self, Error> {
        let mut manifest = Self::default();
        for pair in &record.pairs {
            if pair.name == AGENT_VERSION {
                pair.put(&mut manifest.agent_version, pair.parsed()?)?;
                continue;
            }
            match pair.name.strip_suffix("-version") {
                Some(package) if !package.is_empty() => {
                    let version = pair.parsed()?;
                    if manifest.versions.insert(package.to_owned(), version).is_some() {
                        let kind = ErrorKind::Redefinition { value: pair.name.to_owned() };
                        return Err(Error::at(pair.name_at, kind));
                    }
                }
                // A newer worker may report more.
                _ => {}
            }
        }
        Ok(manifest)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        for (package, version) in &self.versions {
            writer.pair(&format!("{package}-version"), version)?;
        }
        writer.optional(AGENT_VERSION, self.agent_version.as_ref())
    }
}

impl BootstrapManifest {
    /// Returns a manifest with these versions, by package.
    pub fn new(versions: BTreeMap<String, StandardVersion>) -> Self {
        Self { versions, agent_version: None }
    }
}

impl BootstrappedMachine {
    /// Returns a machine that has been bootstrapped.
    ///
    /// It can be written without an Ethernet address, but not read.
    pub fn new(
        machine: MachineManifest,
        toolchain: ToolchainManifest,
        bootstrap: BootstrapManifest,
    ) -> Self {
        Self { machine, toolchain, bootstrap }
    }
}

single_manifest!(BootstrapManifest);

impl Manifest for BootstrappedMachine {
    fn parse_within(input: &[u8], name: &str, limits: Limits) -> Result<Self, Error> {
        parse_stream(input, name, limits, |records| {
            let mut first = records.required()?;
            if first.pairs.is_empty() {
                first = records.required()?;
            }
            let end_at = first.end_at;
            let machine = MachineManifest::read(first)?;
            if machine.mac.is_none() {
                return Err(Error::at(end_at, ErrorKind::Missing { value: "mac".to_owned() }));
            }
            let toolchain = ToolchainManifest::read(records.required()?)?;
            let bootstrap = BootstrapManifest::read(records.required()?)?;
            Ok(Self { machine, toolchain, bootstrap })
        })
    }

    fn to_text(&self, lines: Lines) -> Result<String, Error> {
        write_stream(lines, |writer| {
            write_manifest(writer, &self.machine)?;
            write_manifest(writer, &self.toolchain)?;
            write_manifest(writer, &self.bootstrap)
        })
    }
}
