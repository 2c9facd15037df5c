//! Whether the host can run guests now, and when to look again (W67, W68).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::facts;
use super::fault::{self, Fault};
use super::health::{self, Cause, Facts, Problem, Proof};
use super::proof::prove;
use crate::config::{Config, Requirements};
use crate::diag;
use crate::schedule::pause::Pause;

/// The pauses between two looks at what is cheap to find out: an instance works again within five
/// seconds of the mend, also if nothing announces that.
const LOOKS: Pause = Pause::new(Duration::from_millis(250), Duration::from_secs(4));
/// The pauses between two attempts to run a guest.
const PROOFS: Pause = Pause::new(Duration::from_secs(1), Duration::from_secs(4));
/// The pauses after failures that nothing explains.
const FAULTS: Pause = Pause::new(Duration::from_secs(2), Duration::from_secs(3600));

/// Keeps what is known of the host.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// Without guests there is nothing to require.
    requirements: Option<Requirements>,
    proof: Proven,
    /// Attempts to run a guest that failed in a row.
    failed_proofs: u32,
    /// Looks in a row that found something.
    failed_looks: u32,
    /// The last failure of a task or bootstrap that was the host's.
    fault: Option<Faulty>,
    /// Such failures in a row.
    faults: u32,
    warned: BTreeSet<String>,
}

/// What is known of running guests.
#[derive(Debug)]
enum Proven {
    /// It has to be tried, at this time.
    Due(Instant, Option<Proof>),
    Done(Proof),
}

#[derive(Debug)]
struct Faulty {
    reason: String,
    until: Instant,
}

/// What a look found.
#[derive(Debug)]
pub(crate) struct Look {
    /// What is wrong; nothing if guests can be run.
    pub(crate) problems: Vec<Problem>,
    /// When to look again at the latest.
    pub(crate) again: Instant,
}

impl Monitor {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self {
            requirements: config.runs_guests().then_some(config.required_of_host),
            proof: Proven::Due(now, None),
            failed_proofs: 0,
            failed_looks: 0,
            fault: None,
            faults: 0,
            warned: BTreeSet::new(),
        }
    }

    /// Looks at the host. No process is started, unless guests have to be tried: at the start,
    /// after a failure, and while none can be run.
    pub(crate) fn look(&mut self, config: &Config) -> Look {
        let mut problems = Vec::new();
        if let Some(requirements) = self.requirements {
            let start = Instant::now();
            let facts = facts::gather(config);
            diag::phase("host", start.elapsed(), &[]);
            problems = health::problems(&facts, &requirements);
            if problems.is_empty() {
                problems = self.proven(config);
            }
            self.warn(&facts);
        }
        let now = Instant::now();
        if problems.is_empty() {
            problems.extend(self.unexplained(now));
        } else {
            // They explain the last failure: with the mend that is over, too.
            self.forget_faults();
        }
        Look { again: now + self.pause(&problems, now), problems }
    }

    /// Returns what to do about a preparation that failed: nothing until it succeeds.
    pub(crate) fn unprepared(&mut self, problem: Problem) -> Look {
        let (problems, now) = (vec![problem], Instant::now());
        Look { again: now + self.pause(&problems, now), problems }
    }

    /// Returns who is to blame for a failure, and remembers one of the host.
    pub(crate) fn blame(&mut self, config: &Config, error: &anyhow::Error) -> Fault {
        let fault = match fault::of(error) {
            Fault::Unclear => {
                self.proof = Proven::Due(Instant::now(), None);
                if self.look(config).problems.is_empty() { Fault::Machine } else { Fault::Host }
            }
            fault => fault,
        };
        if fault == Fault::Host {
            let now = Instant::now();
            self.faults = self.faults.saturating_add(1);
            let until = now + FAULTS.after(self.faults, fastrand::f64());
            self.fault = Some(Faulty { reason: format!("{error:#}"), until });
            self.proof = Proven::Due(now, None);
        }
        fault
    }

    /// Notes that a guest could be run.
    pub(crate) fn worked(&mut self) {
        self.forget_faults();
    }

    fn forget_faults(&mut self) {
        self.faults = 0;
        self.fault = None;
    }

    /// Returns what guests are executed by, as far as it has been found out.
    pub(crate) fn accelerator(&self) -> Option<bbot_vm::Accelerator> {
        self.last_proof().and_then(|proof| proof.guest.as_ref().ok().copied())
    }

    /// Returns what an operator should know of the host though guests can be run.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warned.iter().cloned().collect()
    }

    fn last_proof(&self) -> Option<&Proof> {
        match &self.proof {
            Proven::Due(_, proof) => proof.as_ref(),
            Proven::Done(proof) => Some(proof),
        }
    }

    /// Tries to run a guest if that is due, and returns what is wrong.
    fn proven(&mut self, config: &Config) -> Vec<Problem> {
        if matches!(&self.proof, Proven::Due(at, _) if *at <= Instant::now()) {
            let proof = prove(config);
            if health::disproved(&proof).is_empty() {
                self.failed_proofs = 0;
                self.proof = Proven::Done(proof);
            } else {
                self.failed_proofs = self.failed_proofs.saturating_add(1);
                let pause = PROOFS.after(self.failed_proofs, fastrand::f64());
                self.proof = Proven::Due(Instant::now() + pause, Some(proof));
            }
        }
        self.last_proof().map(health::disproved).unwrap_or_default()
    }

    /// A failure of the host that nothing else explains is a problem for a while.
    fn unexplained(&mut self, now: Instant) -> Option<Problem> {
        let fault = self.fault.as_ref().filter(|fault| now < fault.until)?;
        let reason = format!("the last attempt failed on this host: {}", fault.reason);
        Some(Problem::new(Cause::Fault, reason, "it is tried again after a while"))
    }

    fn pause(&mut self, problems: &[Problem], now: Instant) -> Duration {
        if problems.is_empty() {
            self.failed_looks = 0;
            return Duration::ZERO;
        }
        self.failed_looks = self.failed_looks.saturating_add(1);
        let pause = LOOKS.after(self.failed_looks, fastrand::f64());
        match (&problems[0].cause, &self.fault, &self.proof) {
            (Cause::Fault, Some(fault), _) => fault.until.saturating_duration_since(now),
            (Cause::Guest | Cause::Network, _, Proven::Due(at, _)) => {
                at.saturating_duration_since(now)
            }
            _ => pause,
        }
    }

    /// Each warning is given once, and again if it has not applied for a while.
    fn warn(&mut self, facts: &Facts) {
        let now: BTreeSet<_> = health::warnings(facts, self.last_proof()).into_iter().collect();
        now.difference(&self.warned).for_each(diag::warn);
        self.warned = now;
    }
}
