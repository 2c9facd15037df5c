//! Tasks.

use crate::error::{Error, ErrorKind};
use crate::location::{RepositoryLocation, RepositoryType};
use crate::protocol::manifest::{Body, single_manifest};
use crate::protocol::record::{PairExt, Record, required};
use crate::protocol::writer::Writer;
use crate::text::Pair;
use crate::value::fingerprint::Sha256Fingerprint;
use crate::value::machine_name::MachineName;
use crate::value::package_name::PackageName;
use crate::value::quoting::{QuotingError, unquote_words};
use crate::value::requirement::TaskRequirement;
use crate::value::target_triplet::TargetTriplet;
use crate::value::test_dependency::TestDependency;
use crate::value::test_kind::TestKind;
use crate::version::PackageVersion;

/// A task: a package to build, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskManifest {
    /// The package to build.
    pub name: PackageName,
    /// Its version.
    pub version: PackageVersion,
    /// The repository of the package.
    pub repository: RepositoryLocation,
    /// The SHA-256 fingerprints of the certificates to trust, or `yes` for all.
    pub trust: Vec<String>,
    /// The requirements of the package.
    pub requires: Vec<TaskRequirement>,
    /// The packages that test it, in the order of the manifest.
    pub tests: Vec<TestPackage>,
    /// The dependency checksum of the previous result.
    pub dependency_checksum: Option<String>,
    /// The machine to build on.
    pub machine: MachineName,
    /// The machines that run beside it.
    pub auxiliary_machines: Vec<AuxiliaryMachine>,
    /// The target to build for.
    pub target: TargetTriplet,
    /// The name of the environment to build in.
    pub environment: Option<String>,
    /// The environment of the auxiliary machines, which the agent adds.
    pub auxiliary_environment: Option<String>,
    /// The configuration of the target: a list of quoted words.
    pub target_config: Option<String>,
    /// The configuration of the package, passed on to the worker as it is.
    pub package_config: Option<String>,
    /// Whether the target is the machine itself, so that the package can be run.
    pub host: Option<bool>,
    /// Regular expressions that recognize additional warnings in the output.
    pub warning_regex: Vec<String>,
    /// The step at which an interactive build stops.
    pub interactive: Option<String>,
    /// The worker checksum of the previous result.
    pub worker_checksum: Option<String>,
    /// Unknown names and their values, which are kept for the worker (D8).
    pub unknown: Vec<(String, String)>,
}

/// A package that tests another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct TestPackage {
    /// The kind, which is also the name of the value.
    pub kind: TestKind,
    /// The dependency.
    pub dependency: TestDependency,
}

/// A machine that runs beside the one that builds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct AuxiliaryMachine {
    /// The name of its environment; empty for `auxiliary-machine` without a prefix.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "String::is_empty"))]
    pub environment: String,
    /// The machine.
    pub machine: MachineName,
}

const AUXILIARY_MACHINE: &str = "auxiliary-machine";

impl TaskManifest {
    /// Returns a task with the required values.
    pub fn new(
        name: PackageName,
        version: PackageVersion,
        repository: RepositoryLocation,
        machine: MachineName,
        target: TargetTriplet,
    ) -> Self {
        Self {
            name,
            version,
            repository,
            trust: Vec::new(),
            requires: Vec::new(),
            tests: Vec::new(),
            dependency_checksum: None,
            machine,
            auxiliary_machines: Vec::new(),
            target,
            environment: None,
            auxiliary_environment: None,
            target_config: None,
            package_config: None,
            host: None,
            warning_regex: Vec::new(),
            interactive: None,
            worker_checksum: None,
            unknown: Vec::new(),
        }
    }

    /// Splits the configuration of the target into words.
    ///
    /// # Errors
    ///
    /// A quote is not closed. Parsing a manifest refuses such a configuration.
    pub fn unquoted_target_config(&self) -> Result<Option<Vec<String>>, QuotingError> {
        self.target_config.as_deref().map(unquote_words).transpose()
    }
}

impl TestPackage {
    /// Returns a package that tests another one.
    pub fn new(kind: TestKind, dependency: TestDependency) -> Self {
        Self { kind, dependency }
    }
}

impl AuxiliaryMachine {
    /// Returns a machine whose environment has no name.
    pub fn new(machine: MachineName) -> Self {
        Self { environment: String::new(), machine }
    }
}

single_manifest!(TaskManifest);

/// The values of a task, as far as they have been read.
#[derive(Default)]
struct Values {
    name: Option<PackageName>,
    version: Option<PackageVersion>,
    repository_url: Option<String>,
    repository_type: Option<RepositoryType>,
    trust: Vec<String>,
    requires: Vec<TaskRequirement>,
    tests: Vec<TestPackage>,
    dependency_checksum: Option<String>,
    machine: Option<MachineName>,
    auxiliary_machines: Vec<AuxiliaryMachine>,
    target: Option<TargetTriplet>,
    environment: Option<String>,
    auxiliary_environment: Option<String>,
    target_config: Option<String>,
    package_config: Option<String>,
    host: Option<bool>,
    warning_regex: Vec<String>,
    interactive: Option<String>,
    worker_checksum: Option<String>,
    unknown: Vec<(String, String)>,
}

impl Values {
    fn take(&mut self, pair: &Pair<'_>) -> Result<(), Error> {
        match pair.name {
            "name" => pair.put(&mut self.name, pair.parsed()?),
            "version" => pair.put(&mut self.version, pair.parsed()?),
            "repository-url" => pair.put(&mut self.repository_url, pair.filled()?),
            "repository-type" => pair.put(&mut self.repository_type, pair.parsed()?),
            "trust" => {
                if pair.value != "yes" {
                    pair.parsed::<Sha256Fingerprint>()?;
                }
                self.trust.push(pair.filled()?);
                Ok(())
            }
            "dependency-checksum" => pair.put(&mut self.dependency_checksum, pair.filled()?),
            "machine" => pair.put(&mut self.machine, pair.parsed()?),
            "target" => pair.put(&mut self.target, pair.parsed()?),
            "environment" => pair.put(&mut self.environment, pair.filled()?),
            "auxiliary-environment" => pair.put(&mut self.auxiliary_environment, pair.filled()?),
            "target-config" => {
                unquote_words(&pair.value).map_err(|error| pair.invalid(error))?;
                pair.put(&mut self.target_config, pair.filled()?)
            }
            "package-config" => pair.put(&mut self.package_config, pair.filled()?),
            "host" => pair.put(&mut self.host, pair.boolean()?),
            "interactive" => pair.put(&mut self.interactive, pair.filled()?),
            "worker-checksum" => pair.put(&mut self.worker_checksum, pair.filled()?),
            _ => self.take_repeated(pair),
        }
    }

    fn take_repeated(&mut self, pair: &Pair<'_>) -> Result<(), Error> {
        let test = |kind| pair.parsed().map(|dependency| TestPackage { kind, dependency });
        match pair.name {
            "requires" => self.requires.push(pair.parsed()?),
            "tests" => self.tests.push(test(TestKind::Tests)?),
            "examples" => self.tests.push(test(TestKind::Examples)?),
            "benchmarks" => self.tests.push(test(TestKind::Benchmarks)?),
            "warning-regex" => self.warning_regex.push(pair.filled()?),
            name => match name.strip_suffix(AUXILIARY_MACHINE) {
                Some(prefix) if prefix.is_empty() || prefix.len() > 1 && prefix.ends_with('-') => {
                    let environment = prefix.strip_suffix('-').unwrap_or_default().to_owned();
                    let machine = pair.parsed()?;
                    self.auxiliary_machines.push(AuxiliaryMachine { environment, machine });
                }
                _ => self.unknown.push((name.to_owned(), pair.value.clone().into_owned())),
            },
        }
        Ok(())
    }

    fn repository(&mut self, record: &Record<'_>) -> Result<RepositoryLocation, Error> {
        let url = required(self.repository_url.take(), "repository-url", record.end_at)?;
        RepositoryLocation::parse(&url, self.repository_type, None).map_err(|error| {
            let value = "repository-url".to_owned();
            let pair = record.pairs.iter().find(|pair| pair.name == value);
            let at = pair.map_or(record.end_at, |pair| pair.value_at);
            Error::at(at, ErrorKind::Invalid { value, error: error.into() })
        })
    }
}

impl Body for TaskManifest {
    fn read(record: Record<'_>) -> Result<Self, Error> {
        let mut values = Values::default();
        for pair in &record.pairs {
            values.take(pair)?;
        }
        let repository = values.repository(&record)?;
        Ok(Self {
            name: required(values.name, "name", record.end_at)?,
            version: required(values.version, "version", record.end_at)?,
            repository,
            trust: values.trust,
            requires: values.requires,
            tests: values.tests,
            dependency_checksum: values.dependency_checksum,
            machine: required(values.machine, "machine", record.end_at)?,
            auxiliary_machines: values.auxiliary_machines,
            target: required(values.target, "target", record.end_at)?,
            environment: values.environment,
            auxiliary_environment: values.auxiliary_environment,
            target_config: values.target_config,
            package_config: values.package_config,
            host: values.host,
            warning_regex: values.warning_regex,
            interactive: values.interactive,
            worker_checksum: values.worker_checksum,
            unknown: values.unknown,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.pair("name", &self.name)?;
        writer.pair("version", &self.version)?;
        writer.pair("repository-url", self.repository.url())?;
        writer.pair("repository-type", self.repository.kind())?;
        writer.repeated("trust", &self.trust)?;
        writer.repeated("requires", &self.requires)?;
        for test in &self.tests {
            writer.pair(test.kind.as_str(), &test.dependency)?;
        }
        writer.optional("dependency-checksum", self.dependency_checksum.as_ref())?;
        writer.pair("machine", &self.machine)?;
        for auxiliary in &self.auxiliary_machines {
            let dash = if auxiliary.environment.is_empty() { "" } else { "-" };
            let name = format!("{}{dash}{AUXILIARY_MACHINE}", auxiliary.environment);
            writer.pair(&name, &auxiliary.machine)?;
        }
        writer.pair("target", &self.target)?;
        writer.optional("environment", self.environment.as_ref())?;
        writer.optional("auxiliary-environment", self.auxiliary_environment.as_ref())?;
        writer.optional("target-config", self.target_config.as_ref())?;
        writer.optional("package-config", self.package_config.as_ref())?;
        writer.optional("host", self.host)?;
        writer.repeated("warning-regex", &self.warning_regex)?;
        writer.optional("interactive", self.interactive.as_ref())?;
        writer.optional("worker-checksum", self.worker_checksum.as_ref())?;
        self.unknown.iter().try_for_each(|(name, value)| writer.pair(name, value))
    }
}
