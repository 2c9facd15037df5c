//! Interrupts tasks of other processes, and waits until these have released their machines.
//!
//! A task of a greater priority may take the machine of a lesser one, or its place among those that
//! may run at the same time. The process that is going to perform it interrupts the *victims*, the
//! holders of the machine locks in question, while it holds the host lock:
//!
//! 1. Each victim's process is opened (`pidfd_open(2)`), and then its lock is read again. If the
//!    lock still names it, with a priority, the pidfd refers to the holder, and not to a later
//!    process with the same pid. If the lock is free by then, the victim is left out. The kernel
//!    must confirm that the process has the lock, else the interruption is over
//!    ([`WithheldReason::Unconfirmed`]): the pid in the file may be one of another pid namespace.
//! 2. If a lock names another process by then, or no priority, the interruption is over before any
//!    signal is sent ([`WithheldReason::Changed`]).
//! 3. The lock files are watched (`inotify(7)`), and so are the processes, by their pidfds. If
//!    there are no more inotify instances or watches, a change is reported from time to time.
//! 4. Each victim is sent [`SIGNAL`] (`pidfd_send_signal(2)`). Without the permission to do so, the
//!    interruption is over ([`WithheldReason::NotPermitted`]).
//! 5. At each change that the watch reports, and at the deadline, which is the same for all
//!    victims, the locks are examined by [`probe`]. The interruption is [done](Progress::Done) when
//!    all are free, and over when one of them has lost its priority or has another holder
//!    ([`WithheldReason::Changed`]), or when the deadline has passed
//!    ([`WithheldReason::TimedOut`]).
//!
//! The host lock is held all the while. So no other process takes a machine that becomes free, and
//! no signal of another process can be meant for the task that comes next.
//!
//! An [`Interruption`] is a state machine without a loop of its own: the caller waits in the way
//! that suits it, until its function is called or the deadline has passed, and then polls.
//!
//! ```
//! use std::sync::mpsc::channel;
//! use std::time::{Duration, Instant};
//!
//! use bbot_lock::interrupt::{Interruption, Progress, Victim};
//! use bbot_lock::{HostLock, MachineState, probe};
//!
//! let dir = tempfile::tempdir()?;
//! let machine = dir.path().join("linux-public.lock");
//! # // A process that holds the lock, and that the signal ends.
//! # use std::io::{BufRead, BufReader};
//! # use std::process::{Command, Stdio};
//! # let script = "exec 9<>\"$1\"; flock 9; printf '%s 100' $$ >&9; echo; exec cat 9>&9";
//! # let mut command = Command::new("sh");
//! # command.args(["-c", script, "sh"]).arg(&machine).stdin(Stdio::piped()).stdout(Stdio::piped());
//! # let mut child = command.spawn()?;
//! # BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new())?;
//! let host = HostLock::acquire(&dir.path().join("bbot-agent-public.lock"))?;
//! let MachineState::Busy(Some(holder)) = probe(&host, &machine)? else { panic!("it is free") };
//!
//! let (sender, changes) = channel();
//! let victims = vec![Victim::new(&machine, holder.pid)];
//! let deadline = Instant::now() + Duration::from_secs(60);
//! let mut interruption = Interruption::begin(&host, victims, deadline, move || {
//!     // An error means that the waiting thread is gone.
//!     let _ = sender.send(());
//! })?;
//! loop {
//!     match interruption.poll(Instant::now())? {
//!         Progress::Waiting => {
//!             // The next poll tells whether this was a change or the deadline.
//!             let _ = changes.recv_timeout(deadline.saturating_duration_since(Instant::now()));
//!         }
//!         Progress::Done => break,
//!         Progress::Withheld(reason) => panic!("{reason:?}"),
//!     }
//! }
//! assert_eq!(probe(&host, &machine)?, MachineState::Free);
//! # child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod confirm;
mod watcher;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Error, Holder, HostLock, MachineState, probe};
use confirm::confirm;
use watcher::{Watcher, watch_files};

/// The number of the signal that interrupts a task: `SIGUSR1`.
pub const SIGNAL: i32 = Signal::USR1.as_raw();

/// A process that is to give up its task, and the machine lock that it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Victim {
    /// The machine's lock file.
    pub lock_file: PathBuf,
    /// The process, as the lock file named it.
    pub pid: i32,
}

impl Victim {
    /// Returns the victim `pid`, which `lock_file` names as its holder.
    pub fn new(lock_file: impl Into<PathBuf>, pid: i32) -> Self {
        Self { lock_file: lock_file.into(), pid }
    }
}

/// The state of an interruption.
///
/// There are three states and will be no others, so that a `match` may name all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Some victims still have their machines: wait for a change or the deadline, then poll again.
    Waiting,
    /// All victims have released their machines.
    Done,
    /// One of the victims does not release its machine. This is final.
    Withheld(Withheld),
}

/// A machine that does not become free.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Withheld {
    /// The victim that has, or had, the machine.
    pub victim: Victim,
    /// Why the machine does not become free.
    pub reason: WithheldReason,
}

/// Why a machine does not become free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WithheldReason {
    /// The lock has no priority any more, or another holder: this one, if the lock file names one.
    Changed(Option<Holder>),
    /// This process may not signal the victim (`EPERM`).
    NotPermitted,
    /// The kernel does not confirm that the process with the pid in the lock file has the lock: the
    /// holder is in another pid namespace, for example. No signal is sent.
    Unconfirmed,
    /// The victim still had the machine at the deadline.
    TimedOut,
}

// In bbot-agent, rule W35 is built on this.
/// An interruption under way. Dropping it ends the watch; a signal that was sent stays sent.
#[derive(Debug)]
#[must_use = "an interruption makes progress only when it is polled"]
pub struct Interruption<'a> {
    host: &'a HostLock,
    deadline: Instant,
    /// The victims that had their machines when they were last examined.
    remaining: Vec<Victim>,
    signalled: Vec<Victim>,
    released: Vec<Victim>,
    withheld: Option<Withheld>,
    /// Held for its `Drop`.
    _watcher: Option<Watcher>,
}

impl<'a> Interruption<'a> {
    /// Signals the victims, as the [module](self) describes.
    ///
    /// `on_change` is called by a thread of the library at each change of a victim's lock file and
    /// at the end of each victim's process. The call means only that it is time to poll; it must
    /// not block for long. A last call may be under way when the interruption is dropped.
    ///
    /// An interruption that is over already is not an error: the first poll tells.
    ///
    /// # Errors
    ///
    /// [`Error::Process`] if a process cannot be opened or signalled, for another reason than that
    /// it has ended or that the permission is missing; [`Error::Watch`] if the watch cannot be
    /// started; or as [`probe`].
    pub fn begin(
        host: &'a HostLock,
        victims: Vec<Victim>,
        deadline: Instant,
        on_change: impl FnMut() + Send + 'static,
    ) -> Result<Self, Error> {
        let mut interruption = Self {
            host,
            deadline,
            remaining: Vec::new(),
            signalled: Vec::new(),
            released: Vec::new(),
            withheld: None,
            _watcher: None,
        };
        let processes = interruption.select(victims)?;
        if interruption.withheld.is_some() {
            return Ok(interruption);
        }
        // Watched first, so that every change after the signal is seen.
        let files = watch_files(&interruption.remaining)?;
        interruption.signal(&processes)?;
        if interruption.withheld.is_some() {
            return Ok(interruption);
        }
        let watcher = Watcher::start(files, processes, on_change)?;
        Ok(Self { _watcher: Some(watcher), ..interruption })
    }

    /// Returns the victims to which the signal was sent.
    pub fn signalled(&self) -> &[Victim] {
        &self.signalled
    }

    /// Returns the victims that polls have found to have released their machines, and that no
    /// earlier call has returned.
    pub fn take_released(&mut self) -> Vec<Victim> {
        std::mem::take(&mut self.released)
    }

    /// Returns the time at which the caller must poll if no change is reported before.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Examines the locks of the victims that remain.
    ///
    /// The deadline counts only for a victim that still has its machine, so a poll at the deadline
    /// or after it may find the interruption done.
    ///
    /// # Errors
    ///
    /// As [`probe`].
    pub fn poll(&mut self, now: Instant) -> Result<Progress, Error> {
        if self.withheld.is_none() {
            self.examine_remaining()?;
        }
        if self.withheld.is_none()
            && now >= self.deadline
            && let Some(victim) = self.remaining.first().cloned()
        {
            self.withheld = Some(Withheld { victim, reason: WithheldReason::TimedOut });
        }
        Ok(match &self.withheld {
            Some(withheld) => Progress::Withheld(withheld.clone()),
            None if self.remaining.is_empty() => Progress::Done,
            None => Progress::Waiting,
        })
    }

    /// Keeps the victims that still have their machines, and returns their processes.
    ///
    /// A process is opened before its lock is read: if the lock still names it then, the process
    /// that was opened is the holder, and not a later one with the same pid.
    fn select(&mut self, victims: Vec<Victim>) -> Result<Vec<OwnedFd>, Error> {
        let mut processes = Vec::new();
        for victim in victims {
            let Some(process) = open_process(victim.pid)? else { continue };
            match examine(self.host, victim)? {
                Examined::AtWork(victim) => {
                    if let Err(reason) = confirm(&victim) {
                        self.withheld = Some(Withheld { victim, reason });
                        break;
                    }
                    self.remaining.push(victim);
                    processes.push(process);
                }
                Examined::Released(_) => {}
                Examined::Changed(withheld) => {
                    self.withheld = Some(withheld);
                    break;
                }
            }
        }
        Ok(processes)
    }

    /// Sends the signal to the remaining victims, whose processes these are.
    fn signal(&mut self, processes: &[OwnedFd]) -> Result<(), Error> {
        for (victim, process) in self.remaining.iter().zip(processes) {
            match pidfd_send_signal(process, Signal::USR1) {
                Ok(()) => self.signalled.push(victim.clone()),
                // It has just ended; the kernel has freed its lock.
                Err(Errno::SRCH) => {}
                Err(Errno::PERM) => {
                    let (victim, reason) = (victim.clone(), WithheldReason::NotPermitted);
                    self.withheld = Some(Withheld { victim, reason });
                    break;
                }
                Err(error) => return Err(Error::process("signal", victim.pid)(error)),
            }
        }
        Ok(())
    }

    fn examine_remaining(&mut self) -> Result<(), Error> {
        let mut remaining = Vec::new();
        for victim in std::mem::take(&mut self.remaining) {
            match examine(self.host, victim)? {
                Examined::AtWork(victim) => remaining.push(victim),
                Examined::Released(victim) => self.released.push(victim),
                Examined::Changed(withheld) => {
                    self.withheld = Some(withheld);
                    break;
                }
            }
        }
        self.remaining = remaining;
        Ok(())
    }
}

/// What a victim's lock says at present.
enum Examined {
    /// The victim has the machine, for a task.
    AtWork(Victim),
    /// The victim has released it.
    Released(Victim),
    /// The task was suspended, or the lock has another holder: a signal would be of no use.
    Changed(Withheld),
}

fn examine(host: &HostLock, victim: Victim) -> Result<Examined, Error> {
    Ok(match probe(host, &victim.lock_file)? {
        MachineState::Free => Examined::Released(victim),
        MachineState::Busy(Some(Holder { pid, priority: Some(_) })) if pid == victim.pid => {
            Examined::AtWork(victim)
        }
        MachineState::Busy(holder) => {
            Examined::Changed(Withheld { victim, reason: WithheldReason::Changed(holder) })
        }
    })
}

/// Opens a process; `None` if it does not exist: then the kernel has freed its locks.
///
/// No process has a pid that is not positive, which `Pid` does not check.
fn open_process(pid: i32) -> Result<Option<OwnedFd>, Error> {
    let Some(raw) = Pid::from_raw(pid.max(0)) else { return Ok(None) };
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(process) => Ok(Some(process)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(Error::process("open", pid)(error)),
    }
}

#[cfg(test)]
mod tests;
