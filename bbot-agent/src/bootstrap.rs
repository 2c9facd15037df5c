//! Makes a machine ready for tasks: its worker installs the toolchain, and the disk is kept.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use bbot_btrfs::Snapshot;
use bbot_lock::{Acquired, HostLock, MachineLock};
use bbot_manifest::protocol::{BootstrapManifest, ToolchainManifest};
use bbot_manifest::{BootstrappedMachine, Lines, MachineManifest, Manifest};

use crate::agent::Agent;
use crate::diag;
use crate::guest::hold::Hold;
use crate::guest::run::{End, Job, Limits};
use crate::guest::session::{NO_SPACE, Setup, Sitting};
use crate::guest::tftp_folder::{self, TftpFolder};
use crate::machines::enumerate::{read_bootstrapped, read_manifest, with_current};
use crate::machines::fake;
use crate::machines::freshness::{Age, Freshness, compare, freshness, own_versions};
use crate::machines::layout::MachineDir;
use crate::machines::snapshot;
use crate::task::outcome::bootstrap_concern;

/// How an attempt to bootstrap ended without an error of the machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bootstrapped {
    /// The machine is bootstrapped.
    Done,
    /// It was not due any more, or somebody else has it.
    NotNeeded,
    /// The agent is being stopped.
    Stopped,
}

/// Bootstraps `machine`. The host lock is let go before the guest starts (W12).
///
/// # Errors
///
/// The machine's own trouble; nothing of the attempt is left (W16).
pub(crate) fn bootstrap(
    agent: &mut Agent,
    host: HostLock,
    machine: &MachineDir,
) -> anyhow::Result<Bootstrapped> {
    let Acquired::Lock(mut lock) =
        MachineLock::try_acquire(&host, &agent.layout.lock_file(machine))?
    else {
        return Ok(Bootstrapped::NotNeeded);
    };
    let Some((snapshot, manifest)) = snapshot_source(agent, machine)? else {
        return Ok(Bootstrapped::NotNeeded);
    };
    let obsolete = read_bootstrapped(&agent.layout, machine).and_then(Result::ok);
    if let Some(have) = &obsolete {
        let toolchain_id = agent.config.toolchain.id.as_deref();
        let judged = freshness(&manifest, have, toolchain_id, &agent.config.worker_version);
        if !matches!(judged, Freshness::Due(_)) {
            return Ok(Bootstrapped::NotNeeded);
        }
    }
    lock.write(&host, None)?;
    drop(host);

    let mac = obsolete
        .and_then(|have| have.machine.mac)
        .or(manifest.mac)
        .map_or_else(|| bbot_vm::MacAddress::random().to_string(), |mac| mac.to_string());
    let done = install(agent, machine, snapshot, manifest, &mac)?;
    let Some((snapshot, bootstrapped)) = done else { return Ok(Bootstrapped::Stopped) };

    let start = Instant::now();
    write_manifest(snapshot.path(), &bootstrapped)?;
    snapshot.publish(&agent.layout.bootstrapped(machine))?;
    diag::phase("publish", start.elapsed(), &[("machine", machine.name.as_str())]);
    warn_of_age(machine, &bootstrapped.bootstrap, agent);
    lock.release()?;
    Ok(Bootstrapped::Done)
}

/// Takes a snapshot of the current revision and reads the manifest *inside* it, so that what is
/// compared is what is bootstrapped (W9); `None` if there is no link any more.
fn snapshot_source(
    agent: &Agent,
    machine: &MachineDir,
) -> anyhow::Result<Option<(Snapshot, MachineManifest)>> {
    let start = Instant::now();
    let taken = with_current(machine, |source| {
        let snapshot = snapshot::take(source, &agent.layout.snapshot(machine))?;
        let manifest = read_manifest(&snapshot.path().join("manifest"))?;
        Ok((snapshot, manifest))
    })?;
    diag::phase("snapshot", start.elapsed(), &[("machine", machine.name.as_str())]);
    Ok(taken)
}

type Installed = (Snapshot, BootstrappedMachine);

/// Lets the worker install the toolchain, in a fresh snapshot for each boot (W13); `None` if the
/// agent is being stopped.
fn install(
    agent: &mut Agent,
    machine: &MachineDir,
    mut snapshot: Snapshot,
    mut manifest: MachineManifest,
    mac: &str,
) -> anyhow::Result<Option<Installed>> {
    if agent.config.fake_bootstrap {
        let versions = own_versions(&agent.config.worker_version);
        return Ok(Some((snapshot, bootstrapped(agent, manifest, fake::MAC, versions)?)));
    }
    let path = tftp_folder::bootstrap(&agent.config.tftp, &agent.config.instance_name());
    let folder = TftpFolder::create(path, &[])?;
    for boots in 1.. {
        if agent.events.signals.terminated() {
            return Ok(None);
        }
        if boots > 1 {
            diag::warn(format_args!("machine {} mis-booted, retrying", machine.name));
            snapshot.delete()?;
            let Some(fresh) = snapshot_source(agent, machine)? else {
                bail!("the machine was removed while it was bootstrapped");
            };
            (snapshot, manifest) = fresh;
        }
        match sit(agent, &folder, &snapshot, &manifest, mac, boots)? {
            End::Complete(file) => {
                let mut versions: BootstrapManifest = read_manifest(&folder.join(&file))?;
                versions.agent_version = Some(agent.config.worker_version.clone());
                return Ok(Some((snapshot, bootstrapped(agent, manifest, mac, versions)?)));
            }
            end if end.is_worth_another_boot(boots, agent.config.bootstrap_retries) => {}
            End::MisBoot => bail!("bootstrap startup timeout"),
            End::TimedOut => bail!("bootstrap timeout"),
            End::WouldNotShutDown => bail!("bootstrap shutdown timeout"),
            End::DiskFull => bail!(NO_SPACE),
            End::Exited { .. } => bail!("the guest exited unexpectedly"),
            End::Interrupted => unreachable!("a bootstrap is not interrupted"),
            End::Terminated => return Ok(None),
        }
    }
    unreachable!("the last boot ends the bootstrap")
}

/// Boots the snapshot for the `boots`th time, until the bootstrap is complete and the guest is
/// down, or the hold of one that failed is over.
fn sit(
    agent: &mut Agent,
    folder: &TftpFolder,
    snapshot: &Snapshot,
    manifest: &MachineManifest,
    mac: &str,
    boots: u32,
) -> anyhow::Result<End> {
    let config = &agent.config;
    let setup = Setup {
        job: Job::Bootstrap,
        limits: Limits {
            startup: config.timeouts.bootstrap_startup,
            work: config.timeouts.bootstrap,
            shutdown: config.timeouts.shutdown,
        },
        directory: snapshot.path(),
        machine: manifest,
        mac,
        cpus: config.cpu,
        vnc: IpAddr::V4(Ipv4Addr::LOCALHOST),
        read: config.tftp.join("toolchains").join(config.toolchain.name.as_str()),
        write: folder.path().to_owned(),
    };
    let mut sitting = Sitting::start(agent, &setup)?;
    let end = sitting.drive(agent);
    let concern = bootstrap_concern(&end);
    let is_last = !end.is_worth_another_boot(boots, agent.config.bootstrap_retries);
    let (timeout, is_ending) = (agent.config.hold_timeout, agent.is_stopping());
    let hold = Hold::due(&end, concern, timeout, is_ending, Instant::now());
    match (hold.filter(|_| is_last), concern) {
        (Some(hold), Some(concern)) => sitting.hold(agent, &hold, concern),
        (None, Some(concern)) => sitting.report_failure(concern, agent),
        (_, None) => {}
    }
    sitting.end(|| {});
    Ok(end)
}

fn bootstrapped(
    agent: &Agent,
    mut machine: MachineManifest,
    mac: &str,
    bootstrap: BootstrapManifest,
) -> anyhow::Result<BootstrappedMachine> {
    machine.mac = Some(mac.parse().context("the machine's mac address is none")?);
    let id = agent.config.toolchain.id.clone().unwrap_or_else(|| "bogus".into());
    Ok(BootstrappedMachine::new(machine, ToolchainManifest::new(id), bootstrap))
}

/// Replaces the machine's manifest in the snapshot, and brings the disk to disk: what is published
/// must not turn out to be empty after a power cut.
fn write_manifest(snapshot: &Path, manifest: &BootstrappedMachine) -> anyhow::Result<()> {
    let path = snapshot.join("manifest");
    let text = manifest.to_text(Lines::Wrapped)?;
    let write = || {
        // A new file: the old one may be read-only.
        let new = snapshot.join("manifest.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        for entry in fs::read_dir(snapshot)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::File::open(entry.path())?.sync_all()?;
            }
        }
        fs::File::open(snapshot)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// W15: said once, at the bootstrap; the machine is used all the same.
fn warn_of_age(machine: &MachineDir, bootstrap: &BootstrapManifest, agent: &Agent) {
    match compare(bootstrap, &agent.config.worker_version) {
        Age::Older => diag::warn(format_args!(
            "the worker of bootstrapped machine {} is older than the agent expects",
            machine.name
        )),
        Age::Newer => diag::info(format_args!(
            "the worker of bootstrapped machine {} is newer than the agent expects: not used",
            machine.name
        )),
        Age::Same => {}
    }
}
