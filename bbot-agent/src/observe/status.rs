//! The activity of the instance, as shown in `status.json` in the runtime directory, and to the
//! service manager.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::diag;
use crate::fs::storage::REAL;
use crate::observe::held::Held;
use crate::observe::systemd::ServiceManager;

/// The file's name in the runtime directory.
pub(crate) const FILE: &str = "status.json";

/// The phases of the work loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Removing what an earlier process left.
    Recovering,
    /// Waiting for the host lock, or enumerating the machines.
    Enumerating,
    /// Waiting until the host can run guests.
    Blocked,
    /// Asking controllers for a task.
    Asking,
    /// Bootstrapping a machine.
    Bootstrapping,
    /// Waiting for other instances to make room for a task.
    Interrupting,
    /// Performing a task.
    Building,
    /// Holding a guest for inspection by the operator.
    Holding,
    /// Pausing between two rounds.
    Idle,
    /// Releasing everything before the exit.
    Stopping,
}

impl fmt::Display for Phase {
    /// The name is that of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How a request for a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "reason")]
pub(crate) enum ContactOutcome {
    /// The controller has none.
    NoTask,
    /// The controller gave one.
    Task,
    /// The controller gave one that was not accepted, for this reason.
    TaskRefused(String),
    /// There was no valid answer, for this reason.
    Failed(String),
}

/// The last contact with a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contact {
    /// Where it is asked.
    pub(crate) url: String,
    /// Seconds since the epoch.
    pub(crate) at: u64,
    /// How it ended.
    #[serde(flatten)]
    pub(crate) outcome: ContactOutcome,
}

/// Identifies the instance to a reader of the file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Identity {
    /// `<toolchain>-<instance>`.
    pub(crate) instance: String,
    /// The folder of its outbox.
    pub(crate) state_dir: PathBuf,
    /// The file that it keeps locked while it runs.
    pub(crate) lock: PathBuf,
}

/// The file's content, version 1; `host_status/instances.rs` reads it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    pid: u32,
    #[serde(flatten)]
    identity: &'a Identity,
    #[serde(flatten)]
    activity: &'a Activity,
    /// One at most: an instance has one guest.
    holds: &'a [Held],
    /// What an operator should know of the host though guests can be run.
    warnings: &'a [String],
    controllers: Vec<&'a Contact>,
}

#[derive(Debug, Clone, Serialize)]
struct Activity {
    phase: Phase,
    /// Seconds since the epoch.
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// Why the instance is blocked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocked: Vec<Blocked>,
}

/// Why no guest can be run, and what an operator can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blocked {
    pub(crate) reason: String,
    pub(crate) cure: String,
}

impl Activity {
    /// The activity of a phase that begins now.
    fn new(phase: Phase) -> Self {
        Self { phase, since: now(), machine: None, package: None, blocked: Vec::new() }
    }

    fn status_text(&self) -> String {
        let mut words = self.phase.to_string();
        words.extend(self.package.iter().flat_map(|package| [" ", package]));
        if let Some(machine) = &self.machine {
            words.extend([if self.package.is_some() { " on " } else { " " }, machine]);
        }
        for (at, Blocked { reason, cure }) in self.blocked.iter().enumerate() {
            let separator = if at == 0 { ": " } else { "; " };
            words.extend([separator, reason, " (", cure, ")"]);
        }
        words
    }
}

/// Keeps `status.json` up to date; without a runtime directory (fake modes) there is none.
#[derive(Debug)]
pub(crate) struct Status {
    place: Option<(PathBuf, Identity)>,
    manager: Arc<ServiceManager>,
    activity: Activity,
    holds: Vec<Held>,
    warnings: Vec<String>,
    contacts: BTreeMap<String, Contact>,
}

impl Status {
    /// Writes into an existing directory, or nowhere; notifies the service manager in any case.
    pub(crate) fn new(place: Option<(PathBuf, Identity)>, manager: Arc<ServiceManager>) -> Self {
        let activity = Activity::new(Phase::Recovering);
        Self {
            place,
            manager,
            activity,
            holds: Vec::new(),
            warnings: Vec::new(),
            contacts: BTreeMap::new(),
        }
    }

    /// Shows that `phase` begins now; a failure to do so is a warning.
    pub(crate) fn enter(&mut self, phase: Phase, machine: Option<&str>, package: Option<&str>) {
        let [machine, package] = [machine, package].map(|text| text.map(str::to_owned));
        self.activity = Activity { machine, package, ..Activity::new(phase) };
        self.holds.clear();
        self.show();
    }

    /// Shows that no guest can be run, and why.
    pub(crate) fn block(&mut self, blocked: Vec<Blocked>) {
        let is_same = self.activity.phase == Phase::Blocked;
        let since = if is_same { self.activity.since } else { now() };
        let activity = Activity { since, blocked, ..Activity::new(Phase::Blocked) };
        if !is_same || activity.blocked != self.activity.blocked {
            self.activity = activity;
            self.show();
        }
    }

    /// Sets the warnings that are shown from the next phase on.
    pub(crate) fn set_warnings(&mut self, warnings: Vec<String>) {
        self.warnings = warnings;
    }

    /// Shows that the guest of the present phase is held from now on.
    pub(crate) fn hold(&mut self, held: Held) {
        self.activity = Activity { phase: Phase::Holding, since: now(), ..self.activity.clone() };
        self.holds.push(held);
        self.show();
    }

    /// Returns name and version of the package of the present phase, if there is one.
    pub(crate) fn package(&self) -> Option<&str> {
        self.activity.package.as_deref()
    }

    fn show(&self) {
        if self.activity.phase == Phase::Stopping {
            self.manager.stopping();
        }
        self.manager.status(&self.activity.status_text());
        self.write();
    }

    /// Records a contact with a controller; it is shown from the next phase on.
    pub(crate) fn record_contact(&mut self, url: &str, outcome: ContactOutcome) {
        let contact = Contact { url: url.to_owned(), at: now(), outcome };
        self.contacts.insert(url.to_owned(), contact);
    }

    /// Notifies the service manager that the start is complete.
    pub(crate) fn ready(&self) {
        self.manager.ready();
    }

    fn write(&self) {
        if let Err(error) = self.try_write() {
            diag::warn(format_args!("cannot write {FILE}: {error:#}"));
        }
    }

    fn try_write(&self) -> anyhow::Result<()> {
        let Some((directory, identity)) = &self.place else { return Ok(()) };
        let document = Document {
            version: 1,
            pid: std::process::id(),
            identity,
            activity: &self.activity,
            holds: &self.holds,
            warnings: &self.warnings,
            controllers: self.contacts.values().collect(),
        };
        let text = serde_json::to_vec(&document)?;
        Ok(REAL.publish(&directory.join(FILE), 0o644, &text)?)
    }

    /// Removes the file: the instance ends.
    pub(crate) fn remove(&self) {
        if let Some((directory, _)) = &self.place {
            // It may never have been written.
            drop(fs::remove_file(directory.join(FILE)));
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Each phase, in the order in which they are explained.
    pub(crate) const PHASES: [Phase; 10] = [
        Phase::Recovering,
        Phase::Enumerating,
        Phase::Blocked,
        Phase::Asking,
        Phase::Bootstrapping,
        Phase::Interrupting,
        Phase::Building,
        Phase::Holding,
        Phase::Idle,
        Phase::Stopping,
    ];

    #[test]
    fn shows_the_activity() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity {
            instance: "public-1".into(),
            state_dir: "/state".into(),
            lock: "/lock".into(),
        };
        let place = Some((dir.path().into(), identity));
        let mut status = Status::new(place, Arc::new(ServiceManager::none()));
        let read = || -> serde_json::Value {
            serde_json::from_slice(&fs::read(dir.path().join(FILE)).unwrap()).unwrap()
        };
        status.enter(Phase::Building, Some("linux"), Some("foo/1.2.3"));
        let value = read();
        assert_eq!(value["phase"], "building");
        assert_eq!(value["machine"], "linux");
        assert_eq!((&value["version"], &value["instance"]), (&1.into(), &"public-1".into()));
        assert_eq!((&value["state-dir"], &value["lock"]), (&"/state".into(), &"/lock".into()));
        assert_eq!(status.activity.status_text(), "building foo/1.2.3 on linux");
        status.record_contact("https://a/", ContactOutcome::Failed("no answer".into()));
        status.record_contact("https://b/", ContactOutcome::Task);
        status.enter(Phase::Idle, None, None);
        let value = read();
        assert_eq!((&value["phase"], value.get("machine")), (&"idle".into(), None));
        let controllers = &value["controllers"];
        assert_eq!(controllers[0]["url"], "https://a/");
        assert_eq!(controllers[0]["outcome"], "failed");
        assert_eq!(controllers[0]["reason"], "no answer");
        assert_eq!(controllers[1]["outcome"], "task");
        assert!(controllers[1]["at"].as_u64().unwrap() > 0);
        assert_eq!(value["holds"], serde_json::json!([]));
        status.enter(Phase::Building, Some("linux"), Some("foo/1.2.3"));
        status.hold(Held::sample());
        let value = read();
        assert_eq!((&value["phase"], &value["machine"]), (&"holding".into(), &"linux".into()));
        assert_eq!(value["holds"][0]["qemu-pid"], 7);
        assert_eq!(status.activity.status_text(), "holding foo/1.2.3 on linux");
        status.enter(Phase::Idle, None, None);
        assert_eq!(read()["holds"], serde_json::json!([]));
        status.remove();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// The status text and the file name the phases alike.
    #[test]
    fn phases_have_one_name() {
        for phase in PHASES {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.to_string());
        }
    }
}
