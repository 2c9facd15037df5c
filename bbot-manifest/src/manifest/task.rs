//! A task: what to build, and where.

use crate::error::{Error, ErrorKind};
use crate::event::Pair;
use crate::location::{RepositoryLocation, RepositoryType};
use crate::manifest::Body;
use crate::manifest::record::{PairExt, Record, Writer, required};
use crate::quoting::{QuotingError, unquote_words};
use crate::value::fingerprint::Sha256Fingerprint;
use crate::value::machine_name::MachineName;
use crate::value::package_name::PackageName;
use crate::value::requirement::TaskRequirement;
use crate::value::target_triplet::TargetTriplet;
use crate::value::test_dependency::TestDependency;
use crate::version::package::PackageVersion;

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskManifest {
    /// The package to build.
    pub name: PackageName,
    /// Its version.
    pub version: PackageVersion,
    /// Where it comes from.
    pub repository: RepositoryLocation,
    /// Fingerprints of the certificates to trust, or `yes` for all.
    pub trust: Vec<String>,
    /// What the package requires.
    pub requires: Vec<TaskRequirement>,
    /// The packages that test it.
    pub tests: Vec<TestPackage>,
    /// The dependencies' checksum of the last result.
    pub dependency_checksum: Option<String>,
    /// The machine to build on.
    pub machine: MachineName,
    /// The machines that have to run beside it.
    pub auxiliary_machines: Vec<AuxiliaryMachine>,
    /// What to build for.
    pub target: TargetTriplet,
    /// The name of the environment to build in.
    pub environment: Option<String>,
    /// What the auxiliary machines say to the environment.
    pub auxiliary_environment: Option<String>,
    /// Configuration of the target: a list of quoted words.
    pub target_config: Option<String>,
    /// Configuration of the package.
    pub package_config: Option<String>,
    /// Whether the machine can run what is built.
    pub host: Option<bool>,
    /// Regular expressions of what counts as a warning.
    pub warning_regex: Vec<String>,
    /// The step to stop at, if this is an interactive build.
    pub interactive: Option<String>,
    /// The worker's checksum of the last result.
    pub worker_checksum: Option<String>,
    /// Names and values that are not known.
    pub unknown: Vec<(String, String)>,
}

/// A package that tests another one, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestPackage {
    /// How it tests.
    pub kind: TestKind,
    /// The package.
    pub dependency: TestDependency,
}

/// How a package tests another one: by the name of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TestKind {
    /// `tests`
    Tests,
    /// `examples`
    Examples,
    /// `benchmarks`
    Benchmarks,
}

impl TestKind {
    /// Returns the name of the value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Examples => "examples",
            Self::Benchmarks => "benchmarks",
        }
    }
}

/// A machine that has to run beside the one that builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuxiliaryMachine {
    /// The name of its environment; empty if the task has one such machine.
    pub environment: String,
    /// The machine.
    pub machine: MachineName,
}

const AUXILIARY_MACHINE: &str = "auxiliary-machine";

impl TaskManifest {
    /// Splits the configuration of the target into words.
    ///
    /// # Errors
    ///
    /// A quote in it is not closed; not if it was parsed.
    pub fn unquoted_target_config(&self) -> Result<Option<Vec<String>>, QuotingError> {
        self.target_config.as_deref().map(unquote_words).transpose()
    }
}

/// The values of a task, as far as they have been seen.
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
        RepositoryLocation::parse(&url, self.repository_type, None).map_err(|source| {
            let value = "repository-url".to_owned();
            let pair = record.pairs.iter().find(|pair| pair.name == value);
            let at = pair.map_or(record.end_at, |pair| pair.value_at);
            Error::at(at, ErrorKind::Invalid { value, source: source.into() })
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
