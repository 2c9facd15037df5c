//! Interrupts the tasks of other instances, and waits until these have released their machines
//! (W35).
//!
//! The protocol is that of [`bbot_lock::interrupt`]: here the changes that it reports become
//! events, and its outcome becomes text.

use std::time::{Duration, Instant};

use bbot_lock::HostLock;
use bbot_lock::interrupt::{self as protocol, Interruption, Progress, Withheld, WithheldReason};
use rustix::io::Errno;

use crate::diag;
use crate::event_loop::{Event, EventLoop};

/// How long all victims together may take to release their machines. It takes them milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// An instance that is to give up its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Victim {
    /// The name of the machine that it has.
    pub(crate) machine: String,
    /// The machine's lock, and the process.
    pub(crate) lock: protocol::Victim,
}

/// The outcome of an interruption.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
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
/// The host's trouble.
pub(crate) fn interrupt(
    events: &mut EventLoop,
    host: &HostLock,
    victims: &[Victim],
) -> anyhow::Result<Interrupted> {
    let signals = events.signals().clone();
    if signals.terminated() {
        return Ok(Interrupted::Terminated);
    }
    let sender = events.sender();
    // An error means that the process is about to end.
    let on_change = move || drop(sender.send(Event::LocksChanged));
    let holders = victims.iter().map(|victim| victim.lock.clone()).collect();
    let mut interruption = Interruption::begin(host, holders, Instant::now() + LIMIT, on_change)?;
    for victim in interruption.signalled() {
        let (pid, machine) = (victim.pid, machine(victim, victims));
        diag::info(format_args!("interrupted process {pid} on machine {machine}"));
    }
    let next = |deadline| events.next(deadline);
    wait(&mut interruption, victims, next, || signals.terminated())
}

/// Waits for the end of the interruption, or of this agent.
fn wait(
    interruption: &mut Interruption<'_>,
    victims: &[Victim],
    mut next: impl FnMut(Instant) -> Option<Event>,
    is_terminated: impl Fn() -> bool,
) -> anyhow::Result<Interrupted> {
    loop {
        let progress = interruption.poll(Instant::now())?;
        for victim in interruption.take_released() {
            let (pid, machine) = (victim.pid, machine(&victim, victims));
            diag::trace(2, format_args!("process {pid} has let go of {machine}"));
        }
        match progress {
            Progress::Done => return Ok(Interrupted::Done),
            Progress::Withheld(withheld) => {
                let reason = explain(&withheld, victims);
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

/// Returns the name of the victim's machine.
fn machine<'a>(victim: &protocol::Victim, victims: &'a [Victim]) -> &'a str {
    let named = victims.iter().find(|named| named.lock == *victim);
    &named.expect("the interruption is of these victims").machine
}

/// Says why a machine does not become free.
fn explain(withheld: &Withheld, victims: &[Victim]) -> String {
    let (pid, machine) = (withheld.victim.pid, machine(&withheld.victim, victims));
    match withheld.reason {
        WithheldReason::Changed(holder) => {
            let holder = holder.map_or_else(|| "an unknown process".to_owned(), |h| h.to_string());
            format!("{machine}, which {pid} had, is locked by {holder} now")
        }
        WithheldReason::NotPermitted => format!("cannot signal process {pid}: {}", Errno::PERM),
        WithheldReason::TimedOut => {
            format!("process {pid} has not let go of {machine} within {LIMIT:?}")
        }
        _ => format!("process {pid} does not let go of {machine}"),
    }
}

#[cfg(test)]
mod tests;
