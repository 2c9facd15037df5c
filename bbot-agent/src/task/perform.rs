//! Performs one task: from the host lock to the durable result.

use bbot_lock::{HostLock, MachineLock};
use bbot_manifest::{ResultManifest, ResultStatus};

use super::assignment::Assignment;
use super::build::{Build, release};
use super::claim::{Claim, Claimant};
use super::fake;
use super::reporter::Reporter;
use crate::backoffs::Backoffs;
use crate::config::Config;
use crate::diag;
use crate::event_loop::EventLoop;
use crate::machines::view::HostView;
use crate::observe::status::Status;

/// Performs one task.
#[derive(Debug)]
pub(crate) struct Performer<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: &'a HostView,
    pub(crate) events: &'a mut EventLoop,
    pub(crate) status: &'a mut Status,
    pub(crate) backoffs: &'a mut Backoffs,
    /// The key that challenges are made for.
    pub(crate) fingerprint: Option<&'a str>,
    /// The task, and the machine for it.
    pub(crate) assignment: &'a Assignment,
}

impl Performer<'_> {
    /// Performs the task and returns its result, which is durable in the outbox (if there is one).
    pub(crate) fn perform(mut self, host_lock: HostLock) -> anyhow::Result<ResultManifest> {
        let reporter = Reporter {
            assignment: self.assignment,
            outbox: self.events.reports.as_ref().map(|reports| reports.outbox.clone()),
            dump_result: self.config.dump_result,
            fingerprint: self.fingerprint,
        };
        // W41: from here on the task is answered even if this process dies, be it while it waits
        // for instances that it has interrupted.
        if let Err(error) = reporter.record() {
            return self.give_back(&reporter, &error.into());
        }
        // A fake machine has no lock.
        let is_fake = self.config.fake_machine.is_some();
        let mut lock = if is_fake { None } else { self.claim(&host_lock) };
        if !is_fake && lock.is_none() {
            return reporter.report_bare(ResultStatus::Interrupt);
        }
        self.events.signals().arm_interrupts();
        drop(host_lock);

        let result = if self.config.fake_build {
            reporter.report_bare(ResultStatus::Abort)
        } else if is_fake {
            fake::build(self.config, self.events, &reporter)
        } else {
            self.build(&reporter, &mut lock)
        };
        release(&mut lock);
        result
    }

    /// Locks the machine (W25); `None` if it cannot be had, which has been logged.
    fn claim(&mut self, host_lock: &HostLock) -> Option<MachineLock> {
        let machine = &self.assignment.dir.name;
        let claimant = Claimant { host: self.host, host_lock, assignment: self.assignment };
        match claimant.claim(self.events, self.status) {
            Ok(Claim::Locked(lock)) => return Some(lock),
            Ok(Claim::Lost(reason)) => diag::warn(format_args!("cannot have {machine}: {reason}")),
            Ok(Claim::Withheld(reason)) => {
                diag::warn(format_args!("cannot have {machine}: {reason}"));
                // Else the same task would come again at once, with the same wait.
                self.backoffs.controller_failed(&self.assignment.controller_url);
            }
            Ok(Claim::Terminated) => {}
            Err(error) => {
                diag::error(format_args!("cannot have {machine}: {error:#}"));
                self.backoffs.machine_failed(machine);
            }
        }
        None
    }

    /// Builds, and notes whether the machine can be worked with.
    fn build(
        &mut self,
        reporter: &Reporter<'_>,
        lock: &mut Option<MachineLock>,
    ) -> anyhow::Result<ResultManifest> {
        let Self { config, host, .. } = *self;
        let (events, status) = (&mut *self.events, &mut *self.status);
        match (Build { config, host, events, status, reporter, lock }).perform() {
            Ok(result) => {
                self.backoffs.machine_worked(&self.assignment.dir.name);
                Ok(result)
            }
            Err(error) => self.give_back(reporter, &error),
        }
    }

    /// W26: this host could not perform the task; another one may.
    fn give_back(
        &mut self,
        reporter: &Reporter<'_>,
        error: &anyhow::Error,
    ) -> anyhow::Result<ResultManifest> {
        let machine = &self.assignment.dir.name;
        diag::error(format_args!("cannot build on {machine}: {error:#}"));
        self.backoffs.machine_failed(machine);
        reporter.report_bare(ResultStatus::Interrupt)
    }
}
