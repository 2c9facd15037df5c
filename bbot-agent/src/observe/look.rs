//! `--dump-status`: what goes on on this host, as one JSON document (W43).
//!
//! It is put together from what lies about, machines, lock files, `/proc/locks`, the instances'
//! status files and outboxes, without a lock, without asking anybody, and without root as far as
//! file modes allow: what could not be read is listed, and the rest is shown.

mod instances;
mod machines;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bbot_lock::holders::LockTable;
use serde::Serialize;

use crate::cli::Cli;
use crate::output;

use instances::Instance;
use machines::Machine;

/// Where instances without `--runtime-dir` show what they do.
const RUNTIME: &str = "/run/bbot-agent";

/// Where instances without `--state-dir` keep their results.
const STATE: &str = "/var/lib/bbot-agent";

/// The document; its schema is in the README.
#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    host: Option<String>,
    /// Seconds since the epoch.
    at: u64,
    machines: Vec<Machine>,
    instances: Vec<Instance>,
    problems: Vec<String>,
}

/// What could not be read.
#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, path: &Path, problem: impl Display) {
        self.0.push(format!("{}: {problem}", path.display()));
    }

    /// Keeps a value, or notes why there is none.
    fn keep<T>(&mut self, path: &Path, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|problem| self.add(path, problem)).ok()
    }
}

/// Where to look.
#[derive(Debug)]
struct Places {
    machines: PathBuf,
    /// Runtime folders of instances.
    runtime: Folders,
    /// State folders of instances.
    state: Folders,
}

/// Folders of instances: one that was named, or all in the usual place.
#[derive(Debug)]
enum Folders {
    One(PathBuf),
    In(PathBuf),
}

impl Folders {
    fn new(one: Option<&PathBuf>, usual: &str) -> Self {
        one.map_or_else(|| Self::In(usual.into()), |path| Self::One(path.clone()))
    }
}

/// Prints the document.
pub(crate) fn dump(cli: &Cli) -> anyhow::Result<()> {
    let places = Places {
        machines: cli.machines.clone(),
        runtime: Folders::new(cli.runtime_dir.as_ref(), RUNTIME),
        state: Folders::new(cli.state_dir.as_ref(), STATE),
    };
    let mut text = serde_json::to_string_pretty(&look(&places))?;
    text.push('\n');
    Ok(output::print(&text)?)
}

fn look(places: &Places) -> Document {
    let mut problems = Problems::default();
    let locks = read_locks(&mut problems);
    let instances = instances::look(&places.runtime, &places.state, &locks, &mut problems);
    let machines = machines::look(&places.machines, &locks, &instances, &mut problems);
    Document {
        version: 1,
        host: nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()),
        at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        machines,
        instances,
        problems: problems.0,
    }
}

/// Reads the kernel's table of locks. Without it, it is unknown what is locked.
fn read_locks(problems: &mut Problems) -> LockTable {
    LockTable::read().unwrap_or_else(|error| {
        match error {
            bbot_lock::Error::KernelTable { path, source } => problems.add(&path, source),
            error => problems.0.push(format!("{:#}", anyhow::Error::new(error))),
        }
        LockTable::default()
    })
}

#[cfg(test)]
mod tests;
