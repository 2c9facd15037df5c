//! The packages to be built and the state of each: plain values, no I/O.

use bbot_manifest::{ResultRequest, ResultStatus};

use super::pairs::Pair;
use super::pattern;
use crate::harness::clock::Nanos;

/// A package to be built once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// A pattern of machine names, as in a build configuration.
    pub machine: String,
    /// The target triplet.
    pub target: String,
    /// The URL of its repository; by default the controller's own.
    pub repository: Option<String>,
    /// Further pairs of its task manifest, after `target`.
    pub more: Vec<Pair>,
}

impl Package {
    /// A package for `machine`, from the controller's own repository.
    pub fn new(name: &str, version: &str, machine: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            machine: machine.to_owned(),
            target: "x86_64-linux-musl".to_owned(),
            repository: None,
            more: Vec::new(),
        }
    }
}

/// An assigned task is assigned again if no result has come after this time.
const EXPIRY: Nanos = 10_800 * 1_000_000_000;

/// The part of a task request that the controller uses.
#[derive(Debug, Clone)]
pub(super) struct Requester {
    pub(super) toolchain_name: String,
    pub(super) toolchain_version: String,
    pub(super) fingerprint: Option<String>,
}

/// An assigned task.
#[derive(Debug, Clone)]
struct Assignment {
    session: String,
    challenge: Option<(String, String)>,
    at: Nanos,
}

#[derive(Debug, Clone)]
enum State {
    Unbuilt,
    Building(Assignment),
    Built,
}

/// The three checksums that come with a result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Checksums {
    agent: Option<String>,
    worker: Option<String>,
    dependency: Option<String>,
}

#[derive(Debug, Clone)]
struct Build {
    package: Package,
    state: State,
    checksums: Checksums,
}

/// A task that was just assigned.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) package: Package,
    pub(super) machine: String,
    pub(super) session: String,
    pub(super) agent_checksum: Option<String>,
    pub(super) worker_checksum: Option<String>,
    pub(super) dependency_checksum: Option<String>,
}

/// What the controller did with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stored the result.
    Stored(ResultStatus),
    /// The task was interrupted; it will be assigned again.
    PutBack,
    /// There is no task with that session: a result has been stored already, or it never was one.
    Expired,
    /// The signature of the challenge is wrong, missing or superfluous: the reason.
    Unauthenticated(String),
    /// The result is malformed, or does not match its session: the reason.
    Refused(String),
}

/// What the controller did with an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It accepted the artifact.
    Queued,
    /// There is no task with that session.
    Expired,
    /// The signature of the challenge is wrong, missing or superfluous: the reason.
    Unauthenticated(String),
}

/// Checks the signature of a challenge with the key of a fingerprint.
pub(super) type Verify<'a> = dyn Fn(&str, &str) -> Result<(), String> + 'a;

/// All builds of the controller.
#[derive(Debug, Default)]
pub(super) struct Queue {
    builds: Vec<Build>,
}

impl Queue {
    pub(super) fn add(&mut self, package: Package) {
        let checksums = Checksums::default();
        self.builds.push(Build { package, state: State::Unbuilt, checksums });
    }

    /// Has a package built again; its checksums stay.
    pub(super) fn rebuild(&mut self, name: &str) {
        for build in self.builds.iter_mut().filter(|build| build.package.name == name) {
            build.state = State::Unbuilt;
        }
    }

    /// Whether every package is built.
    pub(super) fn is_done(&self) -> bool {
        self.builds.iter().all(|build| matches!(build.state, State::Built))
    }

    /// How many packages are neither built nor assigned.
    pub(super) fn unbuilt(&self) -> usize {
        self.builds.iter().filter(|build| matches!(build.state, State::Unbuilt)).count()
    }

    /// Assigns the first package that one of `machines` matches, to the first machine that does.
    pub(super) fn assign(
        &mut self,
        requester: &Requester,
        machines: &[String],
        challenge: Option<&str>,
        now: Nanos,
    ) -> Option<Task> {
        let (build, machine) = self.builds.iter_mut().find_map(|build| {
            let waits = match &build.state {
                State::Unbuilt => true,
                State::Building(assignment) => now.saturating_sub(assignment.at) >= EXPIRY,
                State::Built => false,
            };
            let serves = |name: &&String| pattern::matches(&build.package.machine, name);
            let machine = machines.iter().find(serves).filter(|_| waits)?.clone();
            Some((build, machine))
        })?;
        let session = session_of(&build.package, requester, now);
        let challenge = challenge.map(str::to_owned).zip(requester.fingerprint.clone());
        build.state = State::Building(Assignment { session: session.clone(), challenge, at: now });
        Some(Task {
            package: build.package.clone(),
            machine,
            session,
            agent_checksum: build.checksums.agent.clone(),
            worker_checksum: build.checksums.worker.clone(),
            dependency_checksum: build.checksums.dependency.clone(),
        })
    }

    /// Stores a result.
    pub(super) fn store(&mut self, posted: &ResultRequest, verify: &Verify<'_>) -> Verdict {
        let ResultRequest { session, result, .. } = posted;
        let fields: Vec<_> = session.split('/').collect();
        let [_, name, version, ..] = fields[..] else {
            return Verdict::Refused("malformed session".to_owned());
        };
        if fields.len() != 9 {
            return Verdict::Refused("malformed session".to_owned());
        }
        if name != result.name.to_string() || version != result.version.to_string() {
            return Verdict::Refused("session and result name different packages".to_owned());
        }
        let build = self.builds.iter_mut().find(|build| build.is_built_in(session));
        let Some(build) = build else { return Verdict::Expired };
        match build.authenticate(posted.challenge.is_some(), verify) {
            Ok(()) => build.conclude(posted),
            Err(reason) => Verdict::Unauthenticated(reason),
        }
    }

    /// Whether an artifact is accepted; `is_signed` if it comes with a signature.
    pub(super) fn receive(&self, session: &str, is_signed: bool, verify: &Verify<'_>) -> Receipt {
        let build = self.builds.iter().find(|build| build.is_built_in(session));
        match build.map(|build| build.authenticate(is_signed, verify)) {
            Some(Ok(())) => Receipt::Queued,
            Some(Err(reason)) => Receipt::Unauthenticated(reason),
            None => Receipt::Expired,
        }
    }
}

impl Build {
    fn is_built_in(&self, session: &str) -> bool {
        matches!(&self.state, State::Building(assignment) if assignment.session == session)
    }

    /// Checks that there is a signature if and only if there was a challenge, and that it fits.
    fn authenticate(&self, is_signed: bool, verify: &Verify<'_>) -> Result<(), String> {
        let State::Building(assignment) = &self.state else { return Ok(()) };
        match &assignment.challenge {
            Some((challenge, fingerprint)) => verify(challenge, fingerprint),
            None if is_signed => Err("no challenge was given".to_owned()),
            None => Ok(()),
        }
    }

    fn conclude(&mut self, posted: &ResultRequest) -> Verdict {
        let result = &posted.result;
        let checksums = Checksums {
            agent: posted.agent_checksum.clone(),
            worker: result.worker_checksum.clone(),
            dependency: result.dependency_checksum.clone(),
        };
        match result.status {
            ResultStatus::Interrupt => {
                self.state = State::Unbuilt;
                return Verdict::PutBack;
            }
            ResultStatus::Skip => {
                let complete = checksums.agent.is_some()
                    && checksums.worker.is_some()
                    && checksums.dependency.is_some();
                if !complete || checksums != self.checksums {
                    return Verdict::Refused("skip without the checksums of a build".to_owned());
                }
            }
            _ => self.checksums = checksums,
        }
        self.state = State::Built;
        Verdict::Stored(result.status)
    }
}

/// `tenant/package/version/target/target-config/package-config/toolchain-name/toolchain-version/
/// timestamp`; the tenant is empty.
fn session_of(package: &Package, requester: &Requester, now: Nanos) -> String {
    let Package { name, version, target, .. } = package;
    let Requester { toolchain_name, toolchain_version, .. } = requester;
    format!("/{name}/{version}/{target}/default/default/{toolchain_name}/{toolchain_version}/{now}")
}
