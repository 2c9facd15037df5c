//! What a worker says after it has bootstrapped a machine.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::manifest::machine::MachineManifest;
use crate::manifest::record::{PairExt, Record, Writer};
use crate::manifest::toolchain::ToolchainManifest;
use crate::manifest::{Body, Manifest, parse_stream, write_stream};
use crate::serializer::Lines;
use crate::version::standard::StandardVersion;

/// The versions of a worker and of the libraries that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootstrapManifest {
    /// The values `<package>-version`, by package.
    pub versions: BTreeMap<String, StandardVersion>,
    /// The version that the agent compared them with; put in by the agent.
    pub agent_version: Option<StandardVersion>,
}

/// A machine that has been bootstrapped.
///
/// The three manifests may follow an empty one, as some agents write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrappedMachine {
    /// The machine, with the Ethernet address that it has been given.
    pub machine: MachineManifest,
    /// The toolchain.
    pub toolchain: ToolchainManifest,
    /// The worker.
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
                // A worker that says more than we know is a newer one, not a broken one.
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
            writer.manifest(&self.machine)?;
            writer.manifest(&self.toolchain)?;
            writer.manifest(&self.bootstrap)
        })
    }
}
