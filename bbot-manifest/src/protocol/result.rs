//! The result of a build.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind};
use crate::protocol::manifest::{Body, single_manifest};
use crate::protocol::record::{PairExt, Record, required};
use crate::protocol::writer::Writer;
use crate::text::Pair;
use crate::value::package_name::PackageName;
use crate::value::result_status::ResultStatus;
use crate::version::PackageVersion;

/// The result of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResultManifest {
    /// The package; `unknown` if the worker could not read its task.
    pub name: PackageName,
    /// Its version; `0` if the worker could not read its task.
    pub version: PackageVersion,
    /// The status of the build.
    pub status: ResultStatus,
    /// The operations, in the order in which they ran.
    pub results: Vec<OperationResult>,
    /// The checksum of the worker's logic and environment.
    pub worker_checksum: Option<String>,
    /// The checksum of the package's dependencies.
    pub dependency_checksum: Option<String>,
    /// The names of unknown values that were read.
    ///
    /// They are not written, as a controller refuses values that it does not know (D8).
    pub dropped: Vec<String>,
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct OperationResult {
    /// The name: `configure`, `update`, `test` ...
    pub operation: String,
    /// Its status.
    pub status: ResultStatus,
    /// Its output.
    #[cfg_attr(feature = "serde", serde(default))]
    pub log: String,
}

impl ResultManifest {
    /// Returns a result without operations.
    pub fn new(name: PackageName, version: PackageVersion, status: ResultStatus) -> Self {
        Self {
            name,
            version,
            status,
            results: Vec::new(),
            worker_checksum: None,
            dependency_checksum: None,
            dropped: Vec::new(),
        }
    }
}

single_manifest!(ResultManifest);

impl OperationResult {
    /// Returns the result of an operation, without output.
    pub fn new(operation: impl Into<String>, status: ResultStatus) -> Self {
        Self { operation: operation.into(), status, log: String::new() }
    }
}

/// The values of a result, as far as they have been read.
#[derive(Default)]
struct Values {
    name: Option<PackageName>,
    version: Option<PackageVersion>,
    status: Option<ResultStatus>,
    operations: Vec<(String, ResultStatus, Option<String>)>,
    /// The index of each operation. A hash map, as a hostile guest can report very many.
    places: HashMap<String, usize>,
    worker_checksum: Option<String>,
    dependency_checksum: Option<String>,
    dropped: Vec<String>,
}

impl Values {
    fn take(&mut self, pair: Pair<'_>) -> Result<(), Error> {
        match pair.name {
            "name" => pair.put(&mut self.name, pair.parsed()?),
            "version" => pair.put(&mut self.version, pair.parsed()?),
            "status" => pair.put(&mut self.status, pair.parsed()?),
            "worker-checksum" => pair.put(&mut self.worker_checksum, pair.filled()?),
            "dependency-checksum" => pair.put(&mut self.dependency_checksum, pair.filled()?),
            name => match name.rsplit_once('-') {
                Some((operation, "status")) if !operation.is_empty() => {
                    self.take_status(operation, &pair)
                }
                Some((operation, "log")) if !operation.is_empty() => self.take_log(operation, pair),
                _ => {
                    self.dropped.push(name.to_owned());
                    Ok(())
                }
            },
        }
    }

    fn take_status(&mut self, operation: &str, pair: &Pair<'_>) -> Result<(), Error> {
        if self.status.is_none() {
            let kind = ErrorKind::Conflict("status of an operation before that of the whole");
            return Err(Error::at(pair.name_at, kind));
        }
        let place = self.operations.len();
        if self.places.insert(operation.to_owned(), place).is_some() {
            let kind = ErrorKind::Redefinition { value: pair.name.to_owned() };
            return Err(Error::at(pair.name_at, kind));
        }
        self.operations.push((operation.to_owned(), pair.parsed()?, None));
        Ok(())
    }

    fn take_log(&mut self, operation: &str, pair: Pair<'_>) -> Result<(), Error> {
        let place = self.places.get(operation);
        let Some((.., log)) = place.and_then(|&place| self.operations.get_mut(place)) else {
            let kind = ErrorKind::Conflict("log of an operation without its status before");
            return Err(Error::at(pair.name_at, kind));
        };
        pair.put(log, String::new())?;
        *log = Some(pair.value.into_owned());
        Ok(())
    }
}

impl Body for ResultManifest {
    fn read(record: Record<'_>) -> Result<Self, Error> {
        let mut values = Values::default();
        for pair in record.pairs {
            values.take(pair)?;
        }
        let results = values.operations.into_iter().map(|(operation, status, log)| {
            OperationResult { operation, status, log: log.unwrap_or_default() }
        });
        Ok(Self {
            name: required(values.name, "name", record.end_at)?,
            version: required(values.version, "version", record.end_at)?,
            status: required(values.status, "status", record.end_at)?,
            results: results.collect(),
            worker_checksum: values.worker_checksum,
            dependency_checksum: values.dependency_checksum,
            dropped: values.dropped,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.pair("name", &self.name)?;
        writer.pair("version", &self.version)?;
        writer.pair("status", self.status)?;
        for result in &self.results {
            writer.pair(&format!("{}-status", result.operation), result.status)?;
        }
        // D7: the checksums between the statuses and the logs.
        writer.optional("worker-checksum", self.worker_checksum.as_ref())?;
        writer.optional("dependency-checksum", self.dependency_checksum.as_ref())?;
        for result in &self.results {
            writer.pair(&format!("{}-log", result.operation), &result.log)?;
        }
        Ok(())
    }
}
