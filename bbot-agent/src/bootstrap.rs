//! Makes a machine ready for tasks: its worker installs the toolchain, and the disk is kept.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use bbot_lock::{Acquired, HostLock, MachineLock};
use bbot_manifest::protocol::{BootstrapManifest, MacAddress, ToolchainManifest};
use bbot_manifest::{BootstrappedMachine, Lines, MachineManifest, Manifest};
use bbot_vm::Accelerator;

use crate::config::Config;
use crate::diag;
use crate::event_loop::EventLoop;
use crate::fs::storage::REAL;
use crate::guest::boot::{Booted, boot};
use crate::guest::hold::Hold;
use crate::guest::run::{End, Job, Limits};
use crate::guest::session::{Disk, GuestSession, Setup};
use crate::guest::tftp_folder::{self, TftpFolder};
use crate::host::fault::OfHost;
use crate::machines::enumerate::{read_bootstrapped, read_manifest, with_current};
use crate::machines::fake;
use crate::machines::freshness::{Age, Freshness, compare, own_versions};
use crate::machines::layout::{Layout, MachineDir};
use crate::machines::ownership;
use crate::machines::snapshot::WorkingSnapshot;
use crate::machines::view::HostView;
use crate::observe::status::Status;

/// How an attempt to bootstrap ended without an error of the machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bootstrapped {
    Done,
    /// It was not due any more, or another process has locked it.
    NotNeeded,
    /// The attempt was given up, as the agent is being stopped.
    GivenUp,
}

/// Bootstraps one machine.
#[derive(Debug)]
pub(crate) struct Bootstrap<'a> {
    pub(crate) config: &'a Config,
    pub(crate) host: &'a HostView,
    pub(crate) events: &'a mut EventLoop,
    pub(crate) status: &'a mut Status,
    pub(crate) machine: &'a MachineDir,
    /// What executes guests, if that has been found out.
    pub(crate) accelerator: Option<Accelerator>,
}

impl Bootstrap<'_> {
    /// Bootstraps the machine. The host lock is released before the guest starts (W12).
    ///
    /// # Errors
    ///
    /// A failure of the machine, or of the host; nothing of the attempt is left (W16).
    pub(crate) fn perform(mut self, host_lock: HostLock) -> anyhow::Result<Bootstrapped> {
        let machine = self.machine;
        let lock_file = self.host.layout.lock_file(machine);
        let Acquired::Lock(mut lock) = MachineLock::try_acquire(&host_lock, &lock_file)? else {
            return Ok(Bootstrapped::NotNeeded);
        };
        self.check_replaceable()?;
        let Some(disk) = take_snapshot(&self.host.layout, machine)? else {
            return Ok(Bootstrapped::NotNeeded);
        };
        let obsolete = read_bootstrapped(&self.host.layout, machine).and_then(Result::ok);
        if let Some(have) = &obsolete {
            let freshness = self.host.requirements.freshness(&disk.machine, have);
            if !matches!(freshness, Freshness::Due(_)) {
                return Ok(Bootstrapped::NotNeeded);
            }
        }
        lock.write(&host_lock, None)?;
        drop(host_lock);

        let mac = obsolete
            .and_then(|have| have.machine.mac)
            .or(disk.machine.mac)
            .unwrap_or_else(|| MacAddress(bbot_vm::MacAddress::random().octets()));
        let installed = self.install(disk, mac)?;
        let Some((snapshot, manifest)) = installed else { return Ok(Bootstrapped::GivenUp) };

        // W14: durable first, then visible under its name.
        let start = Instant::now();
        write_manifest(snapshot.path(), &manifest)?;
        self.check_replaceable()?;
        snapshot.publish(&self.host.layout.bootstrapped(machine))?;
        diag::phase("publish", start.elapsed(), &[("machine", machine.name.as_str())]);
        self.report_age(&manifest.bootstrap);
        lock.release()?;
        Ok(Bootstrapped::Done)
    }

    /// Checks that what a publication would replace is ours (W44).
    fn check_replaceable(&self) -> anyhow::Result<()> {
        ownership::check_bootstrapped(&self.host.layout, self.machine)
    }

    /// Lets the worker install the toolchain on `first`, or on a fresh disk after each mis-boot
    /// (W13); `None` if the attempt was given up.
    fn install(
        &mut self,
        first: Disk,
        mac: MacAddress,
    ) -> anyhow::Result<Option<(WorkingSnapshot, BootstrappedMachine)>> {
        let config = self.config;
        if config.fake_bootstrap {
            let versions = own_versions(&config.worker_version);
            let Disk { snapshot, machine } = first;
            return Ok(Some((snapshot, self.bootstrapped(machine, fake::MAC, versions))));
        }
        let folder = TftpFolder::create(tftp_folder::path(config, Job::Bootstrap), &[])?;
        let setup = self.setup(&folder, mac);
        let mut first = Some(first);
        let (host, machine) = (self.host, self.machine);
        let fresh_disk = || match first.take() {
            Some(disk) => Ok(disk),
            None => take_snapshot(&host.layout, machine)?
                .context("the machine was removed while it was bootstrapped"),
        };
        let booted = boot(config, self.events, &setup, config.bootstrap_retries, fresh_disk)?;
        let Some(Booted { session, disk, end }) = booted else { return Ok(None) };
        let concern = end.failure(Job::Bootstrap);
        self.conclude(session, &end, concern.as_deref());
        if let Some(failure) = end.host_failure() {
            return Err(OfHost::new(failure).into());
        }
        match (end, concern) {
            (End::Complete(file), _) => {
                let mut versions: BootstrapManifest = read_manifest(&folder.join(&file))?;
                versions.agent_version = Some(config.worker_version.clone());
                let Disk { snapshot, machine } = disk;
                Ok(Some((snapshot, self.bootstrapped(machine, mac, versions))))
            }
            (_, Some(concern)) => bail!(concern),
            (_, None) => Ok(None),
        }
    }

    fn setup(&self, folder: &TftpFolder, mac: MacAddress) -> Setup {
        let config = self.config;
        Setup {
            job: Job::Bootstrap,
            limits: Limits {
                startup: config.timeouts.bootstrap_startup,
                work: config.timeouts.bootstrap,
                shutdown: config.timeouts.shutdown,
            },
            mac: bbot_vm::MacAddress::new(mac.0),
            cpus: config.cpu,
            accelerator: self.accelerator,
            vnc: IpAddr::V4(Ipv4Addr::LOCALHOST),
            read: config.tftp.join("toolchains").join(config.toolchain.name.as_str()),
            write: folder.path().to_owned(),
        }
    }

    /// Holds the guest of a failed bootstrap if that is due (W27), and forces it down.
    fn conclude(&mut self, mut session: GuestSession, end: &End, concern: Option<&str>) {
        let is_ending = self.events.signals().is_stopping();
        let hold = Hold::due(end, concern, self.config.hold_timeout, is_ending, Instant::now());
        if let Some(concern) = concern {
            session.leave_for_inspection(self.events, self.status, hold, concern);
        }
        session.end(|| {});
    }

    fn bootstrapped(
        &self,
        mut machine: MachineManifest,
        mac: MacAddress,
        bootstrap: BootstrapManifest,
    ) -> BootstrappedMachine {
        machine.mac = Some(mac);
        let id = self.config.toolchain.id.clone().unwrap_or_else(|| "bogus".into());
        BootstrappedMachine::new(machine, ToolchainManifest::new(id), bootstrap)
    }

    /// W15: reported once, at the bootstrap; the machine is used all the same.
    fn report_age(&self, bootstrap: &BootstrapManifest) {
        let name = &self.machine.name;
        match compare(bootstrap, &self.config.worker_version) {
            Age::Older => diag::warn(format_args!(
                "the worker of bootstrapped machine {name} is older than the agent expects"
            )),
            Age::Newer => diag::info(format_args!(
                "the worker of bootstrapped machine {name} is newer than the agent expects: not \
                 used"
            )),
            Age::Same => {}
        }
    }
}

/// Takes a snapshot of the current revision and reads the manifest *inside* it, so that the
/// manifest that is compared is that of the machine that is bootstrapped (W9); `None` if there is
/// no link any more.
fn take_snapshot(layout: &Layout, dir: &MachineDir) -> anyhow::Result<Option<Disk>> {
    let start = Instant::now();
    let taken = with_current(dir, |source| {
        let snapshot = WorkingSnapshot::take(layout, dir, source)?;
        let machine = read_manifest(&snapshot.path().join("manifest"))?;
        Ok(Disk { snapshot, machine })
    })?;
    diag::phase("snapshot", start.elapsed(), &[("machine", dir.name.as_str())]);
    Ok(taken)
}

/// Replaces the machine's manifest in the snapshot, and synchronises it and the disk image: what is
/// published must not be empty after a power failure.
fn write_manifest(snapshot: &Path, manifest: &BootstrappedMachine) -> anyhow::Result<()> {
    let path = snapshot.join("manifest");
    let text = manifest.to_text(Lines::Wrapped)?;
    // A new file: the old one may be read-only.
    REAL.put(&path, 0o666, text.as_bytes())?;
    let sync = || {
        for entry in fs::read_dir(snapshot)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::File::open(entry.path())?.sync_all()?;
            }
        }
        fs::File::open(snapshot)?.sync_all()
    };
    sync().with_context(|| format!("cannot synchronise {}", snapshot.display()))
}
