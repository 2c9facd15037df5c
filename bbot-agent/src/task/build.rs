//! Builds in a guest: from the locked machine to the durable result.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bbot_lock::MachineLock;
use bbot_manifest::{ResultManifest, ResultStatus};
use bbot_vm::MacAddress;
use nix::unistd::{SysconfVar, sysconf};

use super::artifacts::UPLOAD;
use super::outcome::{Outcome, outcome};
use super::reporter::Reporter;
use super::{result_file, task_file};
use crate::config::Config;
use crate::diag;
use crate::event_loop::EventLoop;
use crate::guest::boot::{Booted, boot};
use crate::guest::disk::Disk;
use crate::guest::hold::Hold;
use crate::guest::run::{DISK_FULL, End, Job, Limits};
use crate::guest::session::{GuestSession, Setup};
use crate::guest::tftp_folder::{self, TftpFolder};
use crate::machines::snapshot;
use crate::machines::view::HostView;
use crate::observe::status::Status;

/// One build, on a machine that is locked for it.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) config: &'a Config,
    pub(super) host: &'a HostView,
    pub(super) events: &'a mut EventLoop,
    pub(super) status: &'a mut Status,
    pub(super) reporter: &'a Reporter<'a>,
    /// The lock of the machine; released as early as possible.
    pub(super) lock: &'a mut Option<MachineLock>,
}

impl Build<'_> {
    /// Builds in throw-away snapshots until a guest has booted, and reports the result.
    ///
    /// # Errors
    ///
    /// The host's trouble, and nothing was reported: a session gets one result only.
    pub(super) fn perform(mut self) -> anyhow::Result<ResultManifest> {
        let (config, host, assignment) = (self.config, self.host, self.reporter.assignment);
        let path = tftp_folder::build(&config.tftp, &config.instance_name());
        let folder = TftpFolder::create(path, &["get", "put"])?;
        task_file::write(&folder, &assignment.task, &config.trust)?;
        let setup = self.setup(&folder)?;
        let fresh_disk = || {
            let start = Instant::now();
            let path = host.layout.snapshot(&assignment.dir);
            let snapshot = snapshot::take(&host.layout.bootstrapped(&assignment.dir), &path)?;
            diag::phase("snapshot", start.elapsed(), &assignment.keys());
            Ok(Disk { snapshot, machine: assignment.machine.machine.clone() })
        };
        match boot(config, self.events, &setup, config.build_retries, fresh_disk)? {
            Some(Booted { session, disk, end }) => {
                let result = self.finish(session, &end, &setup.write)?;
                // The result stands, whatever becomes of the snapshot.
                disk.discard(&assignment.keys());
                Ok(result)
            }
            None => self.reporter.report_bare(ResultStatus::Interrupt),
        }
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
        if *end == End::DiskFull {
            session.end(|| {});
            bail!(DISK_FULL);
        }
        let Outcome { result, concern } = self.outcome(end, uploads);
        let is_ending = self.events.signals().is_stopping() || self.config.dump_result;
        let hold = Hold::due(end, concern, self.config.hold_timeout, is_ending, Instant::now());
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
            session.leave_for_inspection(self.events, self.status, hold, concern);
        } else if matches!(end, End::Exited { .. }) {
            let machine = &self.reporter.assignment.dir.name;
            diag::warn(format_args!("machine {machine} exited unexpectedly"));
        }
        session.end(|| {
            // W39: the machine is free before the upload starts, and the upload starts at once.
            if reported.is_ok() {
                release(self.lock);
                self.events.post_due();
            }
        });
        reported
    }

    /// Decides the answer to the task, from how the guest ended and what it has uploaded.
    fn outcome(&self, end: &End, uploads: &Path) -> Outcome {
        let assignment = self.reporter.assignment;
        let result = match end {
            End::Complete(file) => read_result(&uploads.join(file))
                .filter(|result| self.reporter.is_acceptable(result)),
            _ => None,
        };
        let task = &assignment.task.task;
        outcome(&task.name, &task.version, assignment.is_interactive(), end, result)
    }
}

fn read_result(path: &Path) -> Option<ResultManifest> {
    result_file::read(path)
        .map_err(|error| diag::error(format_args!("{:#}", anyhow::Error::new(error))))
        .ok()
}

/// Releases the machine; should its lock file resist, the kernel frees the lock all the same.
pub(super) fn release(lock: &mut Option<MachineLock>) {
    if let Some(Err(error)) = lock.take().map(MachineLock::release) {
        diag::warn(format_args!("{:#}", anyhow::Error::new(error)));
    }
}
