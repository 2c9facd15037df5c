//! The instances of the host: what they do, and what waits in their outboxes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bbot_lock::holders::{LockStatus, LockTable};
use serde::{Deserialize, Serialize};

use super::{Folders, Problems};
use crate::observe::held::Held;
use crate::observe::status::{Contact, FILE};
use crate::outbox::{self, Summary};

/// An instance that runs, or has left something.
#[derive(Debug, Serialize)]
pub(super) struct Instance {
    /// `<toolchain>-<instance>`, or what its folder is called.
    pub(super) name: String,
    /// Whether its process is there; nothing if nobody can tell.
    running: Option<bool>,
    /// What it says itself; if it does not run, what a process that died said last.
    #[serde(flatten)]
    pub(super) doing: Option<Doing>,
    /// Nothing if it cannot be read.
    outbox: Option<Summary>,
}

/// What an instance says it does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Doing {
    /// Its process.
    pub(super) pid: i32,
    /// The phase's name.
    pub(super) phase: String,
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// The guests that it holds; none in the file of an older agent.
    #[serde(default)]
    holds: Vec<Held>,
    controllers: Vec<Contact>,
}

/// The content of a status file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    version: u32,
    instance: String,
    state_dir: PathBuf,
    lock: PathBuf,
    #[serde(flatten)]
    doing: Doing,
}

impl Instance {
    /// Whether it is the process `pid` that runs.
    pub(super) fn is(&self, pid: i32) -> bool {
        self.running != Some(false) && self.doing.as_ref().is_some_and(|doing| doing.pid == pid)
    }
}

/// Looks at all instances: those with a status file, and those with a state folder only.
pub(super) fn look(
    runtime: &Folders,
    state: &Folders,
    locks: &LockTable,
    problems: &mut Problems,
) -> Vec<Instance> {
    let mut found = BTreeMap::new();
    for folder in state.list(problems) {
        let outbox = summary(&folder, problems);
        let name = file_name(&folder);
        let instance = Instance { name, running: Some(false), doing: None, outbox };
        found.insert(folder, instance);
    }
    for folder in runtime.list(problems) {
        let path = folder.join(FILE);
        let Some(file) = read(&path, problems) else { continue };
        let running = match locks.status(&file.lock) {
            LockStatus::Unknown => None,
            status => Some(status == LockStatus::LockedBy(file.doing.pid)),
        };
        // Under a name of its own, it may be in an unusual place.
        let known = found.remove(&file.state_dir).map(|instance| instance.outbox);
        let outbox = known.unwrap_or_else(|| summary(&file.state_dir, problems));
        let instance = Instance { name: file.instance, running, doing: Some(file.doing), outbox };
        found.insert(file.state_dir, instance);
    }
    found.into_values().collect()
}

impl Folders {
    fn list(&self, problems: &mut Problems) -> Vec<PathBuf> {
        let parent = match self {
            Self::One(folder) => return vec![folder.clone()],
            Self::In(parent) => parent,
        };
        let folders = |entries: fs::ReadDir| {
            let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|t| t.is_dir());
            entries.flatten().filter(is_folder).map(|entry| entry.path()).collect()
        };
        match fs::read_dir(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => problems.keep(parent, entries).map(folders).unwrap_or_default(),
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What is in an outbox; nothing if there is none.
fn summary(folder: &Path, problems: &mut Problems) -> Option<Summary> {
    outbox::summary(folder).unwrap_or_else(|error| {
        problems.add(folder, format_args!("{:#}", anyhow::Error::new(error)));
        None
    })
}

/// Reads a status file; it is replaced as a whole, so what is there is whole.
fn read(path: &Path, problems: &mut Problems) -> Option<File> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => problems.keep(path, text)?,
    };
    let file: File = problems.keep(path, serde_json::from_slice(&text))?;
    if file.version == 1 {
        return Some(file);
    }
    problems.add(path, format_args!("version {} is not known", file.version));
    None
}
