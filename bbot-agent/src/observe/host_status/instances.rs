//! The instances of the host: their activities and their outboxes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bbot_lock::holders::{LockStatus, LockTable};
use serde::{Deserialize, Serialize};

use super::problems::Problems;
use crate::fs::bounded_read;
use crate::observe::held::Held;
use crate::observe::status::{Blocked, Contact, FILE};
use crate::outbox::{self, Summary};

/// The most bytes of a status file; usually it has some hundred.
const STATUS_MAX: u64 = 1 << 20;

/// An instance that runs, or has left files.
#[derive(Debug, Serialize)]
pub(super) struct Instance {
    /// `<toolchain>-<instance>`, or the name of its state directory.
    pub(super) name: String,
    /// Whether its process exists; `None` if that is unknown.
    running: Option<bool>,
    /// From its status file, which a process that died has left.
    #[serde(flatten)]
    pub(super) activity: Option<Activity>,
    /// `None` if it cannot be read.
    outbox: Option<Summary>,
}

/// The activity of an instance, from its status file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Activity {
    /// The process id.
    pub(super) pid: i32,
    /// The name of the phase.
    pub(super) phase: String,
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// The guests that it holds; the file of an older agent does not have them.
    #[serde(default)]
    holds: Vec<Held>,
    /// Why it is blocked.
    #[serde(default)]
    blocked: Vec<Blocked>,
    /// What an operator should know of the host though guests can be run.
    #[serde(default)]
    warnings: Vec<String>,
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
    activity: Activity,
}

impl Instance {
    /// Returns whether the instance runs as process `pid`, as far as is known.
    pub(super) fn is_process(&self, pid: i32) -> bool {
        self.running != Some(false)
            && self.activity.as_ref().is_some_and(|activity| activity.pid == pid)
    }
}

/// Reads all instances: those with a status file, and those with a state directory only.
pub(super) fn read(
    runtime: &Folders,
    state: &Folders,
    locks: &LockTable,
    problems: &mut Problems,
) -> Vec<Instance> {
    let mut found = BTreeMap::new();
    for folder in state.list(problems) {
        let outbox = summary(&folder, problems);
        let name = file_name(&folder);
        let instance = Instance { name, running: Some(false), activity: None, outbox };
        found.insert(folder, instance);
    }
    for folder in runtime.list(problems) {
        let path = folder.join(FILE);
        let Some(file) = read_status(&path, problems) else { continue };
        let running = match locks.status(&file.lock) {
            LockStatus::Unknown => None,
            status => Some(status == LockStatus::LockedBy(file.activity.pid)),
        };
        // `--state-dir` may be another folder than those of the list.
        let known = found.remove(&file.state_dir).map(|instance| instance.outbox);
        let outbox = known.unwrap_or_else(|| summary(&file.state_dir, problems));
        let instance =
            Instance { name: file.instance, running, activity: Some(file.activity), outbox };
        found.insert(file.state_dir, instance);
    }
    found.into_values().collect()
}

/// Folders of instances.
#[derive(Debug)]
pub(super) enum Folders {
    /// One, named on the command line.
    One(PathBuf),
    /// All in this folder.
    In(PathBuf),
}

impl Folders {
    pub(super) fn new(one: Option<&PathBuf>, parent: &str) -> Self {
        one.map_or_else(|| Self::In(parent.into()), |path| Self::One(path.clone()))
    }

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

/// Summarizes an outbox; `None` if there is none.
fn summary(folder: &Path, problems: &mut Problems) -> Option<Summary> {
    outbox::summary(folder).unwrap_or_else(|error| {
        problems.add(folder, format_args!("{:#}", anyhow::Error::new(error)));
        None
    })
}

/// Reads a status file; `None` if there is none.
fn read_status(path: &Path, problems: &mut Problems) -> Option<File> {
    let read = fs::File::open(path).and_then(|file| bounded_read::whole(file, STATUS_MAX));
    let text = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => problems.keep(path, text)?,
    };
    let text = problems.keep(path, text.ok_or_else(|| format!("over {STATUS_MAX} bytes")))?;
    let file: File = problems.keep(path, serde_json::from_slice(&text))?;
    if file.version == 1 {
        return Some(file);
    }
    problems.add(path, format_args!("version {} is not known", file.version));
    None
}
