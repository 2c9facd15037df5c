//! Locks the machine of a task that was accepted, under the host lock: instances that must give way
//! to it are interrupted first.

use std::time::Instant;

use bbot_lock::interrupt::Victim;
use bbot_lock::{Acquired, Holder, HostLock, MachineLock};

use super::assignment::Assignment;
use super::interrupt::{Interrupted, interrupt};
use crate::diag;
use crate::event_loop::EventLoop;
use crate::machines::enumerate::{Busy, State};
use crate::machines::layout::MachineDir;
use crate::machines::view::HostView;
use crate::observe::status::{Phase, Status};
use crate::schedule::host::{Host, Use};
use crate::schedule::victims::victims;

/// How a claim ended.
#[derive(Debug)]
pub(super) enum Claim {
    /// The machine is locked for the task.
    Locked(MachineLock),
    /// It cannot be had any more, for this reason.
    Lost(&'static str),
    /// Another instance does not release it, for this reason.
    Withheld(String),
    /// The agent is being stopped.
    Terminated,
}

/// Claims the machine of an assignment.
#[derive(Debug)]
pub(super) struct Claimant<'a> {
    pub(super) host: &'a HostView,
    pub(super) host_lock: &'a HostLock,
    pub(super) assignment: &'a Assignment,
}

impl Claimant<'_> {
    /// Locks the machine and writes the holder and its priority into the lock file (W25).
    ///
    /// # Errors
    ///
    /// A failure of the host or of the machine.
    pub(super) fn claim(
        &self,
        events: &mut EventLoop,
        status: &mut Status,
    ) -> anyhow::Result<Claim> {
        let Self { host, host_lock, assignment } = *self;
        let Some(victims) = self.choose_victims()? else {
            return Ok(Claim::Lost(
                "the tasks that are in its way must not be interrupted any more",
            ));
        };
        match self.interrupt_all(events, status, victims)? {
            Interrupted::Done => {}
            Interrupted::Withheld(reason) => return Ok(Claim::Withheld(reason)),
            Interrupted::Terminated => return Ok(Claim::Terminated),
        }
        let file = host.layout.lock_file(&assignment.dir);
        let Acquired::Lock(mut lock) = MachineLock::try_acquire(host_lock, &file)? else {
            return Ok(Claim::Lost("it was taken meanwhile"));
        };
        lock.write(host_lock, Some(assignment.priority.value().into()))?;
        // W35: it may have been upgraded or removed while controllers were asked and instances
        // interrupted.
        match host.judge(&assignment.dir)? {
            Some(State::Ready(have)) if *have == assignment.machine => Ok(Claim::Locked(lock)),
            _ => {
                lock.release()?;
                Ok(Claim::Lost("it has changed meanwhile"))
            }
        }
    }

    /// Decides which tasks must give way (W19), by what the locks say now: since they were read for
    /// the offer, tasks may have ended, or be held. `None` if the machine cannot be had.
    fn choose_victims(&self) -> Result<Option<Vec<Victim>>, bbot_lock::Error> {
        let Self { host, host_lock, assignment } = *self;
        let others = assignment.others.iter().filter(|dir| **dir != assignment.dir);
        let look = |dir| {
            let busy = Busy::read(&host.layout, host_lock, dir)?;
            let used = busy.as_ref().map_or(Use::Free, |busy| busy.used(true));
            let holder = busy.and_then(|busy| busy.holder);
            Ok(((dir, holder), used))
        };
        let wanted = look(&assignment.dir)?;
        let machines = std::iter::once(Ok(wanted)).chain(others.map(look));
        let machines = machines.collect::<Result<_, bbot_lock::Error>>()?;
        let state = Host { machines, instance_max: host.instance_max };
        let victim = |(dir, holder): (&MachineDir, Option<Holder>)| {
            holder.map(|holder| Victim::new(host.layout.lock_file(dir), holder.pid))
        };
        let chosen = victims(&state, assignment.priority, wanted.0);
        Ok(chosen.map(|chosen| chosen.into_iter().filter_map(victim).collect()))
    }

    fn interrupt_all(
        &self,
        events: &mut EventLoop,
        status: &mut Status,
        victims: Vec<Victim>,
    ) -> anyhow::Result<Interrupted> {
        if victims.is_empty() {
            return Ok(Interrupted::Done);
        }
        let package = self.assignment.package();
        let machine = self.assignment.dir.name.as_str();
        status.enter(Phase::Interrupting, Some(machine), Some(&package));
        let start = Instant::now();
        let interrupted = interrupt(events, self.host_lock, victims)?;
        diag::phase("interrupt", start.elapsed(), &self.assignment.keys());
        status.enter(Phase::Building, Some(machine), Some(&package));
        Ok(interrupted)
    }
}
