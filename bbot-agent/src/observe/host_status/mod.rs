//! `--dump-status`: the state of this host as one JSON document (W43).
//!
//! It is read from the machines, their lock files, `/proc/locks`, and the status files and outboxes
//! of the instances: without taking a lock, without a request to any process, and without root as
//! far as file modes allow. What could not be read is listed among the problems.

mod instances;
mod machines;
mod problems;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use bbot_lock::holders::LockTable;
use serde::Serialize;

use crate::cli::Cli;
use crate::output;

use instances::{Folders, Instance};
use machines::Machine;
use problems::Problems;

/// The parent of the runtime directories of instances without `--runtime-dir`.
const RUNTIME: &str = "/run/bbot-agent";

/// The parent of the state directories of instances without `--state-dir`.
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

/// The folders that the document is about.
#[derive(Debug)]
struct Sources {
    /// `--machines`.
    machines: PathBuf,
    /// Runtime folders of instances.
    runtime: Folders,
    /// State folders of instances.
    state: Folders,
}

/// Prints the document.
pub(crate) fn dump(cli: &Cli) -> anyhow::Result<()> {
    let sources = Sources {
        machines: cli.machines.clone(),
        runtime: Folders::new(cli.runtime_dir.as_ref(), RUNTIME),
        state: Folders::new(cli.state_dir.as_ref(), STATE),
    };
    let mut text = serde_json::to_string_pretty(&read(&sources))?;
    text.push('\n');
    Ok(output::print(&text)?)
}

fn read(sources: &Sources) -> Document {
    let mut problems = Problems::default();
    let locks = read_locks(&mut problems);
    let instances = instances::read(&sources.runtime, &sources.state, &locks, &mut problems);
    let machines = machines::read(&sources.machines, &locks, &instances, &mut problems);
    Document {
        version: 1,
        host: nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()),
        at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        machines,
        instances,
        problems: problems.into_texts(),
    }
}

/// Reads the kernel's table of locks. Without it the state of locks is unknown.
fn read_locks(problems: &mut Problems) -> LockTable {
    LockTable::read().unwrap_or_else(|error| {
        match error {
            bbot_lock::Error::KernelTable { path, source } => problems.add(&path, source),
            error => problems.add_text(format!("{:#}", anyhow::Error::new(error))),
        }
        LockTable::default()
    })
}

#[cfg(test)]
mod tests;
