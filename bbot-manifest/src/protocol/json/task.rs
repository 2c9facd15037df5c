//! Tasks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chain::Chain;
use crate::location::{RepositoryLocation, RepositoryLocationError, RepositoryType};
use crate::protocol::json::check::checked;
use crate::protocol::task::{AuxiliaryMachine, TaskManifest, TestPackage};
use crate::value::machine_name::MachineName;
use crate::value::package_name::PackageName;
use crate::value::requirement::TaskRequirement;
use crate::value::target_triplet::TargetTriplet;
use crate::version::PackageVersion;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct TaskFields {
    name: PackageName,
    version: PackageVersion,
    repository_url: String,
    repository_type: Option<RepositoryType>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trust: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requires: Vec<TaskRequirement>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tests: Vec<TestPackage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependency_checksum: Option<String>,
    machine: MachineName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    auxiliary_machines: Vec<AuxiliaryMachine>,
    target: TargetTriplet,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auxiliary_environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warning_regex: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interactive: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker_checksum: Option<String>,
    /// Pairs, as the names may be repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<(String, String)>,
}

impl From<TaskManifest> for TaskFields {
    fn from(task: TaskManifest) -> Self {
        Self {
            name: task.name,
            version: task.version,
            repository_url: task.repository.url(),
            repository_type: Some(task.repository.kind()),
            trust: task.trust,
            requires: task.requires,
            tests: task.tests,
            dependency_checksum: task.dependency_checksum,
            machine: task.machine,
            auxiliary_machines: task.auxiliary_machines,
            target: task.target,
            environment: task.environment,
            auxiliary_environment: task.auxiliary_environment,
            target_config: task.target_config,
            package_config: task.package_config,
            host: task.host,
            warning_regex: task.warning_regex,
            interactive: task.interactive,
            worker_checksum: task.worker_checksum,
            unknown: task.unknown,
        }
    }
}

impl TryFrom<TaskFields> for TaskManifest {
    type Error = RepositoryLocationError;

    fn try_from(fields: TaskFields) -> Result<Self, Self::Error> {
        let url = &fields.repository_url;
        let repository = RepositoryLocation::parse(url, fields.repository_type, None)?;
        Ok(Self {
            name: fields.name,
            version: fields.version,
            repository,
            trust: fields.trust,
            requires: fields.requires,
            tests: fields.tests,
            dependency_checksum: fields.dependency_checksum,
            machine: fields.machine,
            auxiliary_machines: fields.auxiliary_machines,
            target: fields.target,
            environment: fields.environment,
            auxiliary_environment: fields.auxiliary_environment,
            target_config: fields.target_config,
            package_config: fields.package_config,
            host: fields.host,
            warning_regex: fields.warning_regex,
            interactive: fields.interactive,
            worker_checksum: fields.worker_checksum,
            unknown: fields.unknown,
        })
    }
}

impl Serialize for TaskManifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TaskFields::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TaskManifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let task = Self::try_from(TaskFields::deserialize(deserializer)?);
        let invalid = |error| format!("invalid repository-url: {}", Chain(&error));
        checked(task.map_err(|error| serde::de::Error::custom(invalid(error)))?, |_, _| {})
    }
}
