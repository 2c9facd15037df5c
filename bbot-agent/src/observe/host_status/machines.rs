//! The machines of the host: for which toolchains they are bootstrapped, and which processes use
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bbot_lock::Holder;
use bbot_lock::holders::{self, Content, LockStatus, LockTable};
use serde::Serialize;

use super::instances::Instance;
use super::problems::Problems;
use crate::config::ToolchainName;
use crate::machines::entry::Entry;
use crate::machines::layout::{self, Layout, MachineDir};

/// A machine.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    name: String,
    volume: String,
    /// The current revision; `None` if the machine has been removed.
    revision: Option<String>,
    toolchains: Vec<Toolchain>,
}

/// The state of a machine for one toolchain.
#[derive(Debug, Serialize)]
struct Toolchain {
    name: String,
    bootstrapped: bool,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderInfo>,
}

/// The use of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// No process uses it.
    Free,
    /// A task is performed on it.
    Building,
    /// It is being bootstrapped.
    Bootstrapping,
    /// Its guest is held for inspection.
    Held,
    /// A process uses it for an unknown purpose.
    Busy,
    /// It is unknown whether a process uses it.
    Unknown,
}

/// The process that uses a machine.
#[derive(Debug, Serialize)]
struct HolderInfo {
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u64>,
    /// The name of the instance, if it is one of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

/// Reads all machines.
pub(super) fn read(
    root: &Path,
    locks: &LockTable,
    instances: &[Instance],
    problems: &mut Problems,
) -> Vec<Machine> {
    let Some((dirs, bad)) = problems.keep(root, layout::machines(root)) else { return Vec::new() };
    for entry in bad {
        problems.add(&entry.path, entry.reason);
    }
    dirs.iter().map(|dir| machine(dir, locks, instances, problems)).collect()
}

fn machine(
    dir: &MachineDir,
    locks: &LockTable,
    instances: &[Instance],
    problems: &mut Problems,
) -> Machine {
    let text = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    let current = problems.keep(&dir.path, dir.current()).flatten();
    let toolchains = toolchain_names(dir, problems);
    let toolchain = |name: &ToolchainName| toolchain(dir, name, locks, instances, problems);
    Machine {
        name: dir.name.to_string(),
        volume: dir.path.parent().and_then(text).unwrap_or_default(),
        revision: current.as_deref().and_then(text),
        toolchains: toolchains.iter().map(toolchain).collect(),
    }
}

/// Returns the toolchains that have a bootstrapped machine or a lock file in the machine's folder.
fn toolchain_names(dir: &MachineDir, problems: &mut Problems) -> BTreeSet<ToolchainName> {
    let Some(entries) = problems.keep(&dir.path, fs::read_dir(&dir.path)) else {
        return BTreeSet::new();
    };
    let name = |entry: fs::DirEntry| match Entry::parse(&dir.name, entry.file_name().to_str()?)? {
        Entry::Bootstrapped(toolchain) | Entry::Lock(toolchain) => Some(toolchain),
        Entry::Link | Entry::Revision | Entry::Snapshot(_) => None,
    };
    entries.flatten().filter_map(name).collect()
}

fn toolchain(
    dir: &MachineDir,
    name: &ToolchainName,
    locks: &LockTable,
    instances: &[Instance],
    problems: &mut Problems,
) -> Toolchain {
    let layout = Layout::new(dir.path.clone(), name.clone(), 0);
    let lock_file = layout.lock_file(dir);
    let content = match holders::read(&lock_file) {
        Ok(content) => content,
        Err(error) => {
            problems.add(&lock_file, format_args!("{:#}", anyhow::Error::new(error)));
            Content::Unreadable
        }
    };
    let status = locks.status(&lock_file);
    let written = match content {
        Content::Holder(holder) => Some(holder),
        Content::Absent | Content::Unreadable => None,
    };
    // A process that died leaves its pid in the file; the kernel knows whether the file is locked.
    let pid = match status {
        LockStatus::Unlocked => None,
        LockStatus::LockedBy(pid) => Some(pid),
        LockStatus::Unknown => written.map(|holder| holder.pid),
    };
    let instance = pid.and_then(|pid| instances.iter().find(|instance| instance.is_process(pid)));
    let phase = instance.and_then(|instance| Some(instance.activity.as_ref()?.phase.as_str()));
    let state = state(content, status, phase);
    let holder = |pid| HolderInfo {
        pid,
        priority: written.filter(|holder| holder.pid == pid).and_then(|holder| holder.priority),
        instance: instance.map(|instance| instance.name.clone()),
    };
    Toolchain {
        name: name.to_string(),
        bootstrapped: layout.bootstrapped(dir).join("manifest").is_file(),
        state,
        holder: pid.filter(|_| state != State::Free).map(holder),
    }
}

/// Returns the use of the machine: from the content of its lock file, whether that is locked, and
/// the phase in the status file of the holder.
fn state(content: Content, status: LockStatus, phase: Option<&str>) -> State {
    match (content, status) {
        (Content::Absent, _) | (_, LockStatus::Unlocked) => State::Free,
        (_, LockStatus::Unknown) => State::Unknown,
        (Content::Holder(Holder { priority: Some(_), .. }), _) => State::Building,
        (Content::Holder(_) | Content::Unreadable, _) => match phase {
            Some("bootstrapping") => State::Bootstrapping,
            Some("holding") => State::Held,
            _ => State::Busy,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::explained;
    use super::*;

    /// W43: the kernel tells whether the machine is used, the file tells for what.
    #[test]
    fn state_follows_from_lock_and_content() {
        let held = |priority| Content::Holder(Holder::new(7, priority).unwrap());
        let (locked, unlocked) = (LockStatus::LockedBy(7), LockStatus::Unlocked);
        for (content, status, phase, expected) in [
            (Content::Absent, locked, None, State::Free),
            (Content::Absent, LockStatus::Unknown, None, State::Free),
            (held(Some(100)), locked, Some("building"), State::Building),
            (held(Some(100)), locked, None, State::Building),
            (held(Some(100)), unlocked, Some("building"), State::Free),
            (held(None), locked, Some("bootstrapping"), State::Bootstrapping),
            (held(None), locked, Some("holding"), State::Held),
            (held(None), locked, None, State::Busy),
            (Content::Unreadable, locked, None, State::Busy),
            (Content::Unreadable, unlocked, None, State::Free),
            (held(Some(100)), LockStatus::Unknown, Some("building"), State::Unknown),
        ] {
            assert_eq!(state(content, status, phase), expected, "{content:?} {status:?}");
            let word = serde_json::to_value(expected).unwrap();
            let explained = explained("\u{2026}state");
            assert!(explained.iter().any(|explained| word == *explained), "{word}");
        }
    }
}
