//! Removes what a dead process of this instance left (W3).
//!
//! The same sweep serves after a clean stop, when there is nothing to do, and after a crash at any
//! instruction. It runs under the instance lock, so whatever bears this instance's name is unused
//! unless it belongs to a live process. Machine lock files stay: the kernel has freed the locks,
//! the next enumeration finds them free.

use std::fs;
use std::path::Path;

use bbot_lock::{HostLock, MachineState};

use crate::config::Config;
use crate::diag;
use crate::fs::runtime_dir::PRIVATE;
use crate::guest::run::Job;
use crate::guest::tftp_folder;
use crate::machines::layout::{Layout, MachineDir};
use crate::machines::{mark, ownership};

/// Sweeps all but the snapshots and the outbox. Sweeping twice is harmless.
///
/// # Errors
///
/// Only what would make work impossible; a leftover that cannot be removed is logged and stays.
pub(crate) fn sweep(config: &Config) -> anyhow::Result<()> {
    // The guests first: they keep the snapshots and the tap in use.
    for swept in bbot_vm::sweep(&config.network(), &config.runtime_dir)? {
        diag::info(format_args!("removed leftover {swept}"));
    }
    // A console log that a live guest's end would have removed; usually there is none.
    drop(fs::remove_file(config.runtime_dir.join(PRIVATE).join("console.log")));
    for job in [Job::Bootstrap, Job::Build] {
        tftp_folder::remove(&tftp_folder::path(config, job))?;
    }
    Ok(())
}

/// Deletes the working snapshots that dead processes of this instance left (W3, W45).
///
/// The host lock is held because the locks of machines are examined.
pub(crate) fn sweep_snapshots(layout: &Layout, host: &HostLock) {
    // Enumeration reports an unreadable tree.
    let Ok((machines, _)) = layout.machines() else { return };
    for machine in &machines {
        if let Err(error) = sweep_machine(layout, host, machine) {
            diag::warn(format_args!("cannot sweep {}: {error:#}", machine.path.display()));
        }
    }
}

fn sweep_machine(layout: &Layout, host: &HostLock, machine: &MachineDir) -> anyhow::Result<()> {
    for entry in fs::read_dir(&machine.path)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let owner = file_name.to_str().and_then(|name| layout.snapshot_owner(&machine.name, name));
        let Some(pid) = owner else { continue };
        let path = entry.path();
        if is_in_use(layout, host, machine, &path, pid)? {
            continue;
        }
        if let Err(error) = ownership::check_snapshot(layout, machine, &path) {
            diag::warn(format_args!("{} is not removed: {error:#}", path.display()));
            continue;
        }
        bbot_btrfs::delete(&path)?;
        diag::info(format_args!("removed leftover snapshot {}", path.display()));
    }
    Ok(())
}

/// Returns whether a process works with the snapshot, whose name has this pid (W45).
///
/// This agent locks the mark of each of its snapshots. Another implementation, or this one before
/// it has set the mark, has the machine locked and names itself in the lock file by the same pid.
/// Whether a process has that pid says nothing: it may be another one by now, or one of another pid
/// namespace.
fn is_in_use(
    layout: &Layout,
    host: &HostLock,
    machine: &MachineDir,
    snapshot: &Path,
    pid: u32,
) -> anyhow::Result<bool> {
    if mark::read(snapshot)?.is_some_and(|mark| mark.is_in_use) {
        return Ok(true);
    }
    Ok(match bbot_lock::probe(host, &layout.lock_file(machine))? {
        MachineState::Free => false,
        MachineState::Busy(None) => true,
        MachineState::Busy(Some(holder)) => u32::try_from(holder.pid).is_ok_and(|it| it == pid),
    })
}
