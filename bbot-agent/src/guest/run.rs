//! The state machine of one guest. Pure: no clock, no I/O.
//!
//! The caller passes what happened and when, and does what the returned action says. The guest of a
//! bootstrap and that of a build differ in their limits, in the names of the files that complete
//! them and in how they end: the disk of a bootstrap is kept, so its guest is powered down; the
//! guest of a build is forced down.

use std::time::{Duration, Instant};

use bbot_vm::GuestEvent;
use bbot_vm::event::ShutdownCause;

use super::exit::Exit;
use super::sign::{Halt, HostFailure, Sign};

/// How long transfers may take to become durable after the guest's exit; the server's own limit is
/// shorter.
const DRAIN: Duration = Duration::from_secs(15);

/// The message for [`End::DiskFull`].
const DISK_FULL: &str = "no space is left on the host's disk";

/// What a guest is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Installing the toolchain; ends with a clean power-down (W14).
    Bootstrap,
    /// Performing a task; ends as soon as the result is durable (W28).
    Build,
}

impl Job {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Build => "build",
        }
    }

    /// Returns the names of the files that complete the job, the current name first.
    pub(crate) fn result_files(self) -> [&'static str; 2] {
        match self {
            Self::Bootstrap => ["bootstrap.manifest", "manifest"],
            Self::Build => ["result.manifest.lz4", "result.manifest"],
        }
    }
}

/// The limits of a guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From the start to the first request; beyond it is a mis-boot.
    pub(crate) startup: Duration,
    /// From the first request to the durable result.
    pub(crate) work: Duration,
    /// From the request to power down to the guest's exit.
    pub(crate) shutdown: Duration,
}

/// How the guest of a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The file of this name is durable; the guest of a bootstrap has powered down, too.
    Complete(String),
    /// No request came within the startup limit (W13).
    MisBoot,
    /// No result was stored within the limit.
    TimedOut,
    /// The result is durable, but the guest did not power down.
    WouldNotShutDown,
    /// The hypervisor ended without a result (W29), or not as it does when a guest turns itself off
    /// (W54).
    Exited {
        exit: Exit,
        /// Whether the guest had sent its first request.
        has_asked: bool,
    },
    /// The host's disk is full (W26).
    DiskFull,
    /// The guest cannot reach its TFTP server any more, by a change on the host (W70).
    NetworkLost,
    /// The guest stands still, and will not go on by itself (W56).
    Halted {
        halt: Halt,
        /// Whether the guest had sent its first request.
        has_asked: bool,
    },
    /// The host does not serve the guest as it must (W56).
    HostFailed(HostFailure),
    /// Another instance asked for the machine (W30).
    Interrupted,
    /// The agent is being stopped (W40).
    Terminated,
}

/// The message for [`End::NetworkLost`].
const NETWORK_LOST: &str = "the network of the guest is lost";

impl End {
    /// Returns the failure of the host that ended the guest, if one did (W68).
    pub(crate) fn host_failure(&self) -> Option<&'static str> {
        match self {
            Self::DiskFull => Some(DISK_FULL),
            Self::NetworkLost => Some(NETWORK_LOST),
            Self::HostFailed(failure) => Some(failure.as_str()),
            _ => None,
        }
    }

    /// Returns whether to boot again in a fresh snapshot: after a mis-boot, `retries` times at most
    /// (W13, W26); `boots` counts the boots so far.
    pub(crate) fn is_worth_another_boot(&self, boots: u32, retries: u32) -> bool {
        self.is_mis_boot() && boots <= retries
    }

    /// W55: an exit before the first request is a mis-boot, too, unless the host caused it.
    fn is_mis_boot(&self) -> bool {
        match self {
            Self::MisBoot => true,
            Self::Exited { exit, has_asked } => !has_asked && *exit != Exit::ByHost,
            Self::Halted { halt, has_asked } => !has_asked && !halt.is_by_host(),
            _ => false,
        }
    }

    /// Describes a failure, as one of the job `job`.
    pub(crate) fn failure(&self, job: Job) -> Option<String> {
        let job = job.name();
        match self {
            Self::MisBoot => Some(format!("{job} startup timeout")),
            Self::TimedOut => Some(format!("{job} timeout")),
            Self::WouldNotShutDown => Some(format!("{job} shutdown timeout")),
            Self::Exited { exit, has_asked: false } => {
                Some(format!("{job} exit before the first request: {exit}"))
            }
            Self::Exited { exit, .. } => Some(format!("unexpected exit during {job}: {exit}")),
            Self::Halted { halt, .. } => Some(format!("{job} does not go on: {halt}")),
            Self::Complete(_)
            | Self::HostFailed(_)
            | Self::DiskFull
            | Self::NetworkLost
            | Self::Interrupted
            | Self::Terminated => None,
        }
    }
}

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wait for the next event, at most until [`Run::deadline`].
    Wait,
    /// Let the transfers whose data has all arrived finish, then pass [`Input::Drained`].
    Drain,
    /// Ask the guest to power down.
    PowerDown,
    /// The run has ended.
    End(End),
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// The guest sent its first TFTP request.
    FirstRequest,
    /// This file has been uploaded and is durable.
    Stored {
        file: &'a str,
        /// Its length.
        bytes: u64,
    },
    /// The hypervisor reports something.
    Event(&'a GuestEvent),
    /// The hypervisor ended; all of its events came before.
    Exited {
        /// The exit code, if it exited by itself.
        code: Option<i32>,
        /// The number of the signal that ended it, if one did.
        signal: Option<i32>,
    },
    /// No transfer is left that could complete.
    Drained,
    /// The deadline has passed.
    Deadline,
    /// The host's disk is too full for what the guest or its worker wrote.
    DiskFull,
    /// The guest cannot reach its TFTP server any more.
    NetworkLost,
    /// SIGUSR1 of the current epoch.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Startup,
    Working,
    PoweringDown { file: String },
    Draining { cause: Cause },
    Ended,
}

/// Why no more can come from a guest than what the transfers have brought already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Exit(Exit),
    Halt(Halt),
}

/// The state of one guest: pass it inputs, do the actions that it returns.
#[derive(Debug)]
pub(crate) struct Run {
    job: Job,
    limits: Limits,
    state: State,
    /// When the state's time is over.
    limit: Instant,
    /// What ends the run at these times, unless the guest goes on before; one of each kind.
    pending: Vec<(Halt, Instant)>,
    has_asked: bool,
    /// Why the hypervisor is about to exit, if it has said so.
    shutdown: Option<ShutdownCause>,
}

impl Run {
    /// A guest that was started at `now`.
    pub(crate) fn new(job: Job, limits: Limits, now: Instant) -> Self {
        Self {
            job,
            limits,
            state: State::Startup,
            limit: now + limits.startup,
            pending: Vec::new(),
            has_asked: false,
            shutdown: None,
        }
    }

    /// Returns when to pass [`Input::Deadline`] if nothing else happens before.
    pub(crate) fn deadline(&self) -> Instant {
        self.pending.iter().map(|(_, deadline)| *deadline).fold(self.limit, Instant::min)
    }

    /// Takes what happened at `now` and returns what to do.
    pub(crate) fn step(&mut self, input: Input<'_>, now: Instant) -> Action {
        if self.state == State::Ended {
            return Action::Wait;
        }
        match input {
            Input::Terminate => self.end(End::Terminated),
            Input::DiskFull => self.end(End::DiskFull),
            Input::NetworkLost => self.network_lost(),
            Input::Interrupt => self.interrupted(),
            Input::FirstRequest => self.first_request(now),
            Input::Stored { file, bytes } => self.stored(file, bytes, now),
            Input::Event(event) => self.reported(&Sign::of(event), now),
            Input::Exited { code, signal } => self.exited(code, signal, now),
            Input::Drained => match self.state {
                State::Draining { cause } => self.end(self.end_by(cause)),
                _ => Action::Wait,
            },
            Input::Deadline => self.deadline_passed(now),
        }
    }

    /// A bootstrap is not interrupted, nor is a task whose result may be complete.
    fn interrupted(&mut self) -> Action {
        match (self.job, &self.state) {
            (Job::Build, State::Startup | State::Working) => self.end(End::Interrupted),
            _ => Action::Wait,
        }
    }

    /// A guest that powers down, or has exited, needs no network.
    fn network_lost(&mut self) -> Action {
        match self.state {
            State::Startup | State::Working => self.end(End::NetworkLost),
            _ => Action::Wait,
        }
    }

    fn first_request(&mut self, now: Instant) -> Action {
        self.has_asked = true;
        if self.state == State::Startup {
            self.state = State::Working;
            self.limit = now + self.limits.work;
        }
        Action::Wait
    }

    fn reported(&mut self, sign: &Sign<'_>, now: Instant) -> Action {
        match (*sign, &self.state) {
            (Sign::DiskFull, _) => self.end(End::DiskFull),
            (Sign::HostFailed(failure), _) => self.end(End::HostFailed(failure)),
            // After the end nothing is of interest, and before its first request a guest may boot
            // as often as it has time for.
            (_, State::Draining { .. })
            | (Sign::Rebooting(_), State::Startup)
            | (Sign::Nothing, _) => Action::Wait,
            (Sign::Halted(halt) | Sign::Rebooting(halt), _) => self.halted(halt, now),
            (Sign::Halting(halt, limit), _) => self.expect(halt, now + limit),
            (Sign::Running, _) => {
                self.pending.retain(|(halt, _)| *halt != Halt::Stopped);
                Action::Wait
            }
            (Sign::Exiting(reason, limit), _) => self.exiting(reason, now + limit),
        }
    }

    /// Of several reasons the first that is not a power-down counts. A power-down that was asked
    /// for has a limit of its own: to write everything to the disk takes its time.
    fn exiting(&mut self, reason: &ShutdownCause, deadline: Instant) -> Action {
        if self.shutdown.as_ref().is_none_or(|had| *had == ShutdownCause::GuestShutdown) {
            self.shutdown = Some(reason.clone());
        }
        match self.state {
            State::PoweringDown { .. } => Action::Wait,
            _ => self.expect(Halt::NoExit, deadline),
        }
    }

    fn expect(&mut self, halt: Halt, deadline: Instant) -> Action {
        if !self.pending.iter().any(|(had, _)| *had == halt) {
            self.pending.push((halt, deadline));
        }
        Action::Wait
    }

    /// The guest does not go on: a result that has arrived counts, as after an exit.
    fn halted(&mut self, halt: Halt, now: Instant) -> Action {
        match self.state {
            State::PoweringDown { .. } => self.end(self.end_by(Cause::Halt(halt))),
            _ => self.drain(Cause::Halt(halt), now),
        }
    }

    fn drain(&mut self, cause: Cause, now: Instant) -> Action {
        self.state = State::Draining { cause };
        self.limit = now + DRAIN;
        self.pending.clear();
        Action::Drain
    }

    fn exited(&mut self, code: Option<i32>, signal: Option<i32>, now: Instant) -> Action {
        let exit = Exit::new(self.shutdown.as_ref(), code, signal);
        match &self.state {
            State::Startup | State::Working => self.drain(Cause::Exit(exit), now),
            // W54
            State::PoweringDown { file } if exit == Exit::PoweredOff => {
                let file = file.clone();
                self.end(End::Complete(file))
            }
            State::PoweringDown { .. } => self.end(self.end_by(Cause::Exit(exit))),
            State::Draining { .. } | State::Ended => Action::Wait,
        }
    }

    fn deadline_passed(&mut self, now: Instant) -> Action {
        let halted = self.pending.iter().find(|(_, deadline)| *deadline <= now);
        match halted {
            Some((halt, _)) => self.halted(*halt, now),
            None if now >= self.limit => self.expired(),
            None => Action::Wait,
        }
    }

    fn expired(&mut self) -> Action {
        match self.state {
            State::Startup => self.end(End::MisBoot),
            State::Working => self.end(End::TimedOut),
            State::PoweringDown { .. } => self.end(End::WouldNotShutDown),
            State::Draining { cause } => self.end(self.end_by(cause)),
            State::Ended => Action::Wait,
        }
    }

    fn end_by(&self, cause: Cause) -> End {
        let has_asked = self.has_asked;
        match cause {
            Cause::Exit(exit) => End::Exited { exit, has_asked },
            Cause::Halt(halt) => End::Halted { halt, has_asked },
        }
    }

    /// The first durable result completes the job, even if the guest uploads another one.
    fn stored(&mut self, file: &str, bytes: u64, now: Instant) -> Action {
        self.has_asked = true;
        let is_complete = bytes > 0 && self.job.result_files().contains(&file);
        match (self.job, &self.state) {
            _ if !is_complete => Action::Wait,
            (_, State::PoweringDown { .. } | State::Ended) => Action::Wait,
            (Job::Build, _)
            | (Job::Bootstrap, State::Draining { cause: Cause::Exit(Exit::PoweredOff) }) => {
                self.end(End::Complete(file.to_owned()))
            }
            // W54: what the guest wrote to its disk may be lost.
            (Job::Bootstrap, State::Draining { .. }) => Action::Wait,
            (Job::Bootstrap, State::Startup | State::Working) => {
                self.state = State::PoweringDown { file: file.to_owned() };
                self.limit = now + self.limits.shutdown;
                Action::PowerDown
            }
        }
    }

    fn end(&mut self, end: End) -> Action {
        self.state = State::Ended;
        Action::End(end)
    }
}

#[cfg(test)]
mod tests;
