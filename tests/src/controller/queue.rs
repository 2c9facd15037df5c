//! What is to be built, what is being built, what is built: plain values, no I/O.

use bbot_manifest::{ResultRequest, ResultStatus};

use super::pairs::Pair;
use super::pattern;
use crate::clock::Nanos;

/// A package that the controller wants to have built once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The machines that serve: a pattern, as in a build configuration.
    pub machine: String,
    /// The target triplet.
    pub target: String,
    /// Where it comes from; by default the controller's own repository.
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

/// A handed-out task is handed out again if nothing is heard of it for so long.
const EXPIRY: Nanos = 10_800 * 1_000_000_000;

/// Who asks, as far as it is a part of the session.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) toolchain_name: String,
    pub(super) toolchain_version: String,
    pub(super) fingerprint: Option<String>,
}

/// A task in somebody's hands.
#[derive(Debug, Clone)]
struct Handed {
    session: String,
    challenge: Option<(String, String)>,
    at: Nanos,
}

#[derive(Debug, Clone)]
enum State {
    Unbuilt,
    Building(Handed),
    Built,
}

/// The three checksums that a result leaves behind.
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

/// A task that was just handed out.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) package: Package,
    pub(super) machine: String,
    pub(super) session: String,
    pub(super) agent_checksum: Option<String>,
    pub(super) worker_checksum: Option<String>,
    pub(super) dependency_checksum: Option<String>,
}

/// What became of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The build has this result now.
    Stored(ResultStatus),
    /// The task waits for an agent again.
    PutBack,
    /// Nobody is building that any more: the session is used, or never was.
    Expired,
    /// The challenge was not answered as it must be.
    Unauthenticated(String),
    /// The result is malformed, or does not fit its session.
    Refused(String),
}

/// What became of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It has been taken in.
    Queued,
    /// Nobody is building that any more.
    Expired,
    /// The challenge was not answered as it must be.
    Unauthenticated(String),
}

/// How a result authenticates: checks the signature of a challenge with the key of a fingerprint.
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

    /// Makes a built package wait for an agent again; its checksums stay.
    pub(super) fn rebuild(&mut self, name: &str) {
        for build in self.builds.iter_mut().filter(|build| build.package.name == name) {
            build.state = State::Unbuilt;
        }
    }

    /// Whether every package is built.
    pub(super) fn is_done(&self) -> bool {
        self.builds.iter().all(|build| matches!(build.state, State::Built))
    }

    /// How many packages wait for an agent.
    pub(super) fn unbuilt(&self) -> usize {
        self.builds.iter().filter(|build| matches!(build.state, State::Unbuilt)).count()
    }

    /// Hands out the first task that one of `machines` serves; of these the first that matches.
    pub(super) fn hand_out(
        &mut self,
        asker: &Asker,
        machines: &[String],
        challenge: Option<&str>,
        now: Nanos,
    ) -> Option<Task> {
        let (build, machine) = self.builds.iter_mut().find_map(|build| {
            let waits = match &build.state {
                State::Unbuilt => true,
                State::Building(handed) => now.saturating_sub(handed.at) >= EXPIRY,
                State::Built => false,
            };
            let serves = |name: &&String| pattern::matches(&build.package.machine, name);
            let machine = machines.iter().find(serves).filter(|_| waits)?.clone();
            Some((build, machine))
        })?;
        let session = session_of(&build.package, asker, now);
        let challenge = challenge.map(str::to_owned).zip(asker.fingerprint.clone());
        build.state = State::Building(Handed { session: session.clone(), challenge, at: now });
        Some(Task {
            package: build.package.clone(),
            machine,
            session,
            agent_checksum: build.checksums.agent.clone(),
            worker_checksum: build.checksums.worker.clone(),
            dependency_checksum: build.checksums.dependency.clone(),
        })
    }

    /// Takes in a result.
    pub(super) fn take(&mut self, given: &ResultRequest, verify: &Verify<'_>) -> Verdict {
        let ResultRequest { session, result, .. } = given;
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
        match build.authenticate(given.challenge.is_some(), verify) {
            Ok(()) => build.conclude(given),
            Err(reason) => Verdict::Unauthenticated(reason),
        }
    }

    /// Says whether an artifact is taken in; `is_signed` if it comes with a signature.
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
        matches!(&self.state, State::Building(handed) if handed.session == session)
    }

    /// Both or none: an answer to a challenge that was not given is as bad as none.
    fn authenticate(&self, is_signed: bool, verify: &Verify<'_>) -> Result<(), String> {
        let State::Building(handed) = &self.state else { return Ok(()) };
        match &handed.challenge {
            Some((challenge, fingerprint)) => verify(challenge, fingerprint),
            None if is_signed => Err("no challenge was given".to_owned()),
            None => Ok(()),
        }
    }

    fn conclude(&mut self, given: &ResultRequest) -> Verdict {
        let result = &given.result;
        let given = Checksums {
            agent: given.agent_checksum.clone(),
            worker: result.worker_checksum.clone(),
            dependency: result.dependency_checksum.clone(),
        };
        match result.status {
            ResultStatus::Interrupt => {
                self.state = State::Unbuilt;
                return Verdict::PutBack;
            }
            ResultStatus::Skip => {
                let complete =
                    given.agent.is_some() && given.worker.is_some() && given.dependency.is_some();
                if !complete || given != self.checksums {
                    return Verdict::Refused("skip without the checksums of a build".to_owned());
                }
            }
            _ => self.checksums = given,
        }
        self.state = State::Built;
        Verdict::Stored(result.status)
    }
}

/// `tenant/package/version/target/target-config/package-config/toolchain-name/toolchain-version/
/// timestamp`; the tenant is empty.
fn session_of(package: &Package, asker: &Asker, now: Nanos) -> String {
    let Package { name, version, target, .. } = package;
    let Asker { toolchain_name, toolchain_version, .. } = asker;
    format!("/{name}/{version}/{target}/default/default/{toolchain_name}/{toolchain_version}/{now}")
}
