//! Makes the machine of a task that was accepted ours, under the host lock: whoever must make room
//! is interrupted first.

use std::time::Instant;

use bbot_lock::{Acquired, HostLock, MachineLock, interrupt};

use super::perform::{Assignment, keys};
use crate::agent::Agent;
use crate::diag;
use crate::machines::enumerate::{Busy, State, judge};
use crate::machines::layout::MachineDir;
use crate::observe::status::Phase;
use crate::schedule::host::{Host, Use};
use crate::schedule::victims::victims;
use crate::task::interrupt::{Interrupted, Victim, interrupt as interrupt_victims};

/// What came of it.
enum Claim {
    /// The machine is ours, and its lock says so; a fake machine has none.
    Ours(Option<MachineLock>),
    /// It cannot be had any more, for this reason.
    Lost(&'static str),
    /// Another instance does not let go, for this reason.
    Withheld(String),
    /// The agent is being stopped.
    Terminated,
}

/// The machine is not ours; the reason has been said.
#[derive(Debug)]
pub(super) struct NotOurs;

/// Takes the machine's lock and writes who holds it, for what (W25); a fake machine has none.
///
/// # Errors
///
/// The task is for another agent, or for later.
pub(super) fn claim(
    agent: &mut Agent,
    host: &HostLock,
    assignment: &Assignment,
) -> Result<Option<MachineLock>, NotOurs> {
    let machine = &assignment.dir.name;
    match try_claim(agent, host, assignment) {
        Ok(Claim::Ours(lock)) => return Ok(lock),
        Ok(Claim::Lost(reason)) => diag::warn(format_args!("cannot have {machine}: {reason}")),
        Ok(Claim::Withheld(reason)) => {
            diag::warn(format_args!("cannot have {machine}: {reason}"));
            // Else the same task would come again at once, with the same wait.
            agent.url_rests.record_failure(assignment.url.clone(), Instant::now(), fastrand::f64());
        }
        Ok(Claim::Terminated) => {}
        Err(error) => {
            diag::error(format_args!("cannot have {machine}: {error:#}"));
            agent.machine_rests.record_failure(
                machine.to_string(),
                Instant::now(),
                fastrand::f64(),
            );
        }
    }
    Err(NotOurs)
}

fn try_claim(agent: &mut Agent, host: &HostLock, assignment: &Assignment) -> anyhow::Result<Claim> {
    if agent.config.fake_machine.is_some() {
        return Ok(Claim::Ours(None));
    }
    let Some(victims) = choose_victims(agent, host, assignment)? else {
        return Ok(Claim::Lost(
            "whoever has it or leaves no room must not be interrupted any more",
        ));
    };
    match interrupt_all(agent, host, assignment, &victims)? {
        Interrupted::Done => {}
        Interrupted::Withheld(reason) => return Ok(Claim::Withheld(reason)),
        Interrupted::Terminated => return Ok(Claim::Terminated),
    }
    let file = agent.layout.lock_file(&assignment.dir);
    let Acquired::Lock(mut lock) = MachineLock::try_acquire(host, &file)? else {
        return Ok(Claim::Lost("it was taken meanwhile"));
    };
    lock.write(host, Some(assignment.priority.value().into()))?;
    // W35: it may have been upgraded or removed while it was asked for and waited for.
    match judge(&agent.layout, &assignment.dir, agent.wanted())? {
        Some(State::Ready(have)) if *have == assignment.machine => Ok(Claim::Ours(Some(lock))),
        _ => {
            lock.release()?;
            Ok(Claim::Lost("it has changed meanwhile"))
        }
    }
}

/// Decides who must make room (W19), by what the locks say now: since they were read for the offer,
/// tasks may have ended, or be held.
fn choose_victims(
    agent: &Agent,
    host: &HostLock,
    assignment: &Assignment,
) -> Result<Option<Vec<Victim>>, bbot_lock::Error> {
    let look = |dir| Ok((dir, Busy::read(&agent.layout, host, dir)?));
    let others = assignment.others.iter().filter(|dir| **dir != assignment.dir);
    let dirs = std::iter::once(&assignment.dir).chain(others);
    let machines: Vec<(&MachineDir, Option<Busy>)> = dirs.map(look).collect::<Result<_, _>>()?;
    let used =
        |(_, busy): &(_, Option<Busy>)| busy.as_ref().map_or(Use::Free, |busy| busy.used(true));
    let state = Host {
        machines: machines.iter().map(used).collect(),
        instance_max: agent.config.instance_max,
    };
    let victim = |index: usize| {
        let (dir, busy) = &machines[index];
        let lock_file = agent.layout.lock_file(dir);
        let holder = busy.as_ref().and_then(|busy| busy.holder);
        holder.map(|holder| Victim {
            machine: dir.name.to_string(),
            lock: interrupt::Victim::new(lock_file, holder.pid),
        })
    };
    let chosen = victims(&state, assignment.priority, 0);
    Ok(chosen.map(|chosen| chosen.into_iter().filter_map(victim).collect()))
}

fn interrupt_all(
    agent: &mut Agent,
    host: &HostLock,
    assignment: &Assignment,
    victims: &[Victim],
) -> anyhow::Result<Interrupted> {
    if victims.is_empty() {
        return Ok(Interrupted::Done);
    }
    let task = &assignment.task.task;
    let package = format!("{}/{}", task.name, task.version);
    let machine = assignment.dir.name.as_str();
    agent.status.enter(Phase::Interrupting, Some(machine), Some(&package));
    let start = Instant::now();
    let interrupted = interrupt_victims(agent, host, victims)?;
    diag::phase("interrupt", start.elapsed(), &keys(assignment));
    agent.status.enter(Phase::Building, Some(machine), Some(&package));
    Ok(interrupted)
}
