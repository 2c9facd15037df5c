//! Interrupts the tasks of other instances, and waits until these have released their machines
//! (W35).
//!
//! The protocol is that of [`bbot_lock::interrupt`]: here the changes that it reports become
//! events, and its outcome becomes text.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use bbot_lock::HostLock;
use bbot_lock::interrupt::{Interruption, Progress, Victim, Withheld, WithheldReason};
use rustix::io::Errno;

use crate::diag;
use crate::event_loop::{Event, EventLoop};

/// How long all victims together may take to release their machines. It takes them milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// The outcome of an interruption.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// All machines are free.
    Done,
    /// One of the victims does not release its machine, for this reason.
    Withheld(String),
    /// This agent is being stopped.
    Terminated,
}

/// Interrupts all victims, then waits for all of them.
///
/// # Errors
///
/// A failure of the host.
pub(super) fn interrupt(
    events: &mut EventLoop,
    host: &HostLock,
    victims: Vec<Victim>,
) -> anyhow::Result<Interrupted> {
    let signals = events.signals().clone();
    if signals.terminated() {
        return Ok(Interrupted::Terminated);
    }
    let sender = events.sender();
    // An error means that the process is about to end.
    let on_change = move || drop(sender.send(Event::LocksChanged));
    let mut interruption = Interruption::begin(host, victims, Instant::now() + LIMIT, on_change)?;
    for victim in interruption.signalled() {
        let (pid, machine) = (victim.pid, machine(victim));
        diag::info(format_args!("interrupted process {pid} on machine {machine}"));
    }
    let next = |deadline| events.next(deadline);
    wait(&mut interruption, next, || signals.terminated())
}

/// Waits for the end of the interruption, or of this agent.
fn wait(
    interruption: &mut Interruption<'_>,
    mut next: impl FnMut(Instant) -> Option<Event>,
    is_terminated: impl Fn() -> bool,
) -> anyhow::Result<Interrupted> {
    loop {
        let progress = interruption.poll(Instant::now())?;
        for victim in interruption.take_released() {
            let (pid, machine) = (victim.pid, machine(&victim));
            diag::trace(2, format_args!("process {pid} has let go of {machine}"));
        }
        match progress {
            Progress::Done => return Ok(Interrupted::Done),
            Progress::Withheld(withheld) => {
                let reason = explain(&withheld);
                if withheld.reason == WithheldReason::NotPermitted {
                    diag::warn(&reason);
                }
                return Ok(Interrupted::Withheld(reason));
            }
            Progress::Waiting if is_terminated() => return Ok(Interrupted::Terminated),
            // Any event, and the deadline, is a reason to poll.
            Progress::Waiting => drop(next(interruption.deadline())),
        }
    }
}

/// Returns the name of the victim's machine, which is that of the folder of its lock file.
fn machine(victim: &Victim) -> Cow<'_, str> {
    let folder = victim.lock_file.parent().and_then(Path::file_name);
    folder.unwrap_or_default().to_string_lossy()
}

/// Explains why a machine does not become free.
fn explain(withheld: &Withheld) -> String {
    let (pid, machine) = (withheld.victim.pid, machine(&withheld.victim));
    match withheld.reason {
        WithheldReason::Changed(holder) => {
            let holder = holder.map_or_else(|| "an unknown process".to_owned(), |h| h.to_string());
            format!("{machine}, which {pid} had, is locked by {holder} now")
        }
        WithheldReason::NotPermitted => format!("cannot signal process {pid}: {}", Errno::PERM),
        WithheldReason::Unconfirmed => format!(
            "{machine} is locked, but not by process {pid} of this pid namespace, which its lock \
             file names"
        ),
        WithheldReason::TimedOut => {
            format!("process {pid} has not let go of {machine} within {LIMIT:?}")
        }
        _ => format!("process {pid} does not let go of {machine}"),
    }
}

#[cfg(test)]
mod tests;
