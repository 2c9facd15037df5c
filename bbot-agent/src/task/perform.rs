//! Performs one task: from the host lock to the durable result.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use bbot_lock::{HostLock, MachineLock};
use bbot_manifest::{ResultManifest, ResultStatus};
use bbot_vm::MacAddress;
use nix::unistd::{SysconfVar, sysconf};

use super::artifacts::UPLOAD;
use super::claim::{Claim, Claimant};
use super::outcome::{Outcome, outcome};
use super::reporter::Reporter;
use super::unstored::Unstored;
use super::{fake, result_file, task_file};
use crate::config::Config;
use crate::diag;
use crate::event_loop::EventLoop;
use crate::guest::boot::{Booted, boot};
use crate::guest::hold::Hold;
use crate::guest::run::{End, Job, Limits};
use crate::guest::session::{Disk, GuestSession, Setup};
use crate::guest::tftp_folder::{self, TftpFolder};
use crate::host::fault::{Fault, OfHost};
use crate::host::monitor::Monitor;
use crate::machines::snapshot::WorkingSnapshot;
use crate::machines::view::HostView;
use crate::observe::status::Status;
use crate::schedule::backoff::Backoff;

/// Performs one task.
#[derive(Debug)]
pub(crate) struct Performer<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: &'a HostView,
    pub(crate) events: &'a mut EventLoop,
    pub(crate) status: &'a mut Status,
    pub(crate) monitor: &'a mut Monitor,
    pub(crate) machine_backoff: &'a mut Backoff<PathBuf>,
    pub(crate) controller_backoff: &'a mut Backoff<String>,
    pub(crate) reporter: Reporter<'a>,
    /// The lock of the machine, from the claim to the release; a fake machine has none.
    pub(crate) lock: Option<MachineLock>,
}

impl Performer<'_> {
    /// Performs the task and returns its result, which is durable in the outbox (if there is one).
    pub(crate) fn perform(mut self, host_lock: HostLock) -> anyhow::Result<ResultManifest> {
        // W41: from here on the task is answered even if this process dies, be it while it waits
        // for instances that it has interrupted.
        if let Err(error) = self.reporter.record() {
            let error = anyhow::Error::new(error).context(OfHost::new("cannot record the task"));
            return self.give_back(&error);
        }
        let is_fake = self.config.fake_machine.is_some();
        if !is_fake && !self.claim(&host_lock) {
            return self.reporter.report_bare(ResultStatus::Interrupt);
        }
        self.events.signals().arm_interrupts();
        drop(host_lock);

        let result = if self.config.fake_build {
            self.reporter.report_bare(ResultStatus::Abort)
        } else if is_fake {
            fake::build(self.config, self.events, &self.reporter)
        } else {
            match self.build() {
                Ok(result) => {
                    self.machine_backoff.record_success(&self.reporter.assignment.dir.path);
                    self.monitor.worked();
                    Ok(result)
                }
                // W49: the task has its answer, and gets no other one.
                Err(error) if error.is::<Unstored>() => Err(error),
                Err(error) => self.give_back(&error),
            }
        };
        self.release();
        result
    }

    /// Locks the machine (W25); returns false if it cannot be had, which has been logged.
    fn claim(&mut self, host_lock: &HostLock) -> bool {
        let assignment = self.reporter.assignment;
        let machine = &assignment.dir.name;
        let claimant = Claimant { host: self.host, host_lock, assignment };
        match claimant.claim(self.events, self.status) {
            Ok(Claim::Locked(lock)) => self.lock = Some(lock),
            Ok(Claim::Lost(reason)) => diag::warn(format_args!("cannot have {machine}: {reason}")),
            Ok(Claim::Withheld(reason)) => {
                diag::warn(format_args!("cannot have {machine}: {reason}"));
                // Else the same task would come again at once, with the same wait.
                let (now, jitter) = (Instant::now(), fastrand::f64());
                self.controller_backoff.record_failure(
                    assignment.controller_url.clone(),
                    now,
                    jitter,
                );
            }
            Ok(Claim::Terminated) => {}
            Err(error) => {
                diag::error(format_args!("cannot have {machine}: {error:#}"));
                self.blame(&error);
            }
        }
        self.lock.is_some()
    }

    /// W26: this host could not perform the task; another one may.
    fn give_back(&mut self, error: &anyhow::Error) -> anyhow::Result<ResultManifest> {
        let machine = &self.reporter.assignment.dir.name;
        diag::error(format_args!("cannot build on {machine}: {error:#}"));
        let reported = self.reporter.report_bare(ResultStatus::Interrupt);
        self.blame(error);
        reported
    }

    /// W68: a machine is left alone only for its own failure.
    fn blame(&mut self, error: &anyhow::Error) {
        if self.monitor.blame(self.config, error) != Fault::Host {
            self.back_off();
        }
    }

    fn back_off(&mut self) {
        let machine = self.reporter.assignment.dir.path.clone();
        self.machine_backoff.record_failure(machine, Instant::now(), fastrand::f64());
    }

    /// Releases the machine; if its lock file cannot be removed, the kernel frees the lock anyway.
    fn release(&mut self) {
        if let Some(Err(error)) = self.lock.take().map(MachineLock::release) {
            diag::warn(format_args!("{:#}", anyhow::Error::new(error)));
        }
    }

    /// Builds in throw-away snapshots until a guest has booted, and reports the result.
    ///
    /// # Errors
    ///
    /// A failure of the host; nothing was reported then, as a session gets one result only. Or the
    /// result cannot be stored for now.
    fn build(&mut self) -> anyhow::Result<ResultManifest> {
        let (config, host, assignment) = (self.config, self.host, self.reporter.assignment);
        let folder = TftpFolder::create(tftp_folder::path(config, Job::Build), &["get", "put"])?;
        task_file::write(&folder, &assignment.task, &config.trust)?;
        let setup = self.setup(&folder)?;
        let fresh_disk = || {
            let start = Instant::now();
            let (layout, dir) = (&host.layout, &assignment.dir);
            let snapshot = WorkingSnapshot::take(layout, dir, &layout.bootstrapped(dir))?;
            diag::phase("snapshot", start.elapsed(), &assignment.keys());
            Ok(Disk { snapshot, machine: assignment.machine.machine.clone() })
        };
        let booted = boot(config, self.events, &setup, config.build_retries, fresh_disk)?;
        let Some(Booted { session, disk, end }) = booted else {
            return self.reporter.report_bare(ResultStatus::Interrupt);
        };
        let result = self.finish(session, &end, &setup.write);
        let result = result.map_err(|error| Unstored::keep(error, folder))?;
        // The result stands, whatever becomes of the snapshot.
        disk.discard(&assignment.keys());
        Ok(result)
    }

    fn setup(&self, folder: &TftpFolder) -> anyhow::Result<Setup> {
        let assignment = self.reporter.assignment;
        let timeouts = &self.config.timeouts;
        let is_interactive = assignment.is_interactive();
        let mac = assignment.machine.machine.mac;
        let mac = mac.context("the bootstrapped machine has no mac address")?;
        let address = self.config.interactive_address.filter(|_| is_interactive);
        Ok(Setup {
            job: Job::Build,
            limits: Limits {
                startup: timeouts.build_startup,
                work: if is_interactive { timeouts.interactive } else { timeouts.build },
                shutdown: Duration::ZERO,
            },
            mac: MacAddress::new(mac.0),
            cpus: self.cpus(),
            accelerator: self.monitor.accelerator(),
            vnc: address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            read: folder.join("get"),
            write: folder.join("put"),
        })
    }

    /// W26, W20: a boosted task gets all online hardware threads, where other instances give way to
    /// it.
    fn cpus(&self) -> u32 {
        let config = self.config;
        if !self.reporter.assignment.priority.is_boosted() || config.instance_max == 0 {
            return config.cpu;
        }
        let online = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
        online.and_then(|online| u32::try_from(online).ok()).unwrap_or(config.cpu)
    }

    /// Reports the result, holds the guest if that is due (W27), and forces it down; `uploads` is
    /// where its files are. The result is durable before the guest is let go (I5).
    fn finish(
        &mut self,
        mut session: GuestSession,
        end: &End,
        uploads: &Path,
    ) -> anyhow::Result<ResultManifest> {
        if let Some(failure) = end.host_failure() {
            session.end(|| {});
            return Err(OfHost::new(failure).into());
        }
        let Outcome { result, concern } = self.outcome(end, uploads);
        let is_ending = self.events.signals().is_stopping() || self.config.dump_result;
        let hold =
            Hold::due(end, concern.as_deref(), self.config.hold_timeout, is_ending, Instant::now());
        if let (Some(_), Some(lock)) = (&hold, self.lock.as_mut())
            && let Err(error) = lock.suspend()
        {
            diag::warn(format_args!("{:#}", anyhow::Error::new(error)));
        }
        let reported = self.reporter.report(result, Some(&uploads.join(UPLOAD)));
        let hold = hold.filter(|_| reported.is_ok());
        if hold.is_some() {
            self.events.post_due();
        }
        if let Some(concern) = concern {
            session.leave_for_inspection(self.events, self.status, hold, &concern);
        } else if matches!(end, End::Exited { .. }) {
            let machine = &self.reporter.assignment.dir.name;
            diag::warn(format_args!("machine {machine} exited unexpectedly"));
        }
        session.end(|| {
            // W39: the machine is free before the upload starts, and the upload starts at once.
            if reported.is_ok() {
                self.release();
                self.events.post_due();
            }
        });
        reported
    }

    /// Decides the answer to the task, from how the guest ended and what it has uploaded.
    fn outcome(&self, end: &End, uploads: &Path) -> Outcome {
        let assignment = self.reporter.assignment;
        let result = match end {
            End::Complete(file) => result_file::read(&uploads.join(file))
                .map_err(|error| diag::error(format_args!("{:#}", anyhow::Error::new(error))))
                .ok()
                .filter(|result| self.reporter.is_acceptable(result)),
            _ => None,
        };
        let task = &assignment.task.task;
        outcome(&task.name, &task.version, assignment.is_interactive(), end, result)
    }
}
