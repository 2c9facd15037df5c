//! Removes what a dead process of this instance left (W3).
//!
//! The same sweep serves after a clean stop, when there is nothing to do, and after a crash at any
//! instruction. It runs under the instance lock, so whatever bears this instance's name is unused
//! unless it belongs to a live process. Machine lock files stay: the kernel has freed the locks,
//! the next enumeration finds them free.

use std::fs;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::config::Config;
use crate::diag;
use crate::fs::runtime_dir::PRIVATE;
use crate::guest::run::Job;
use crate::guest::session::network_config;
use crate::guest::tftp_folder;
use crate::machines::layout::{Layout, MachineDir};
use crate::outbox::Outbox;

/// Sweeps. Sweeping twice is harmless.
///
/// # Errors
///
/// Only what would make work impossible; a leftover that cannot be removed is logged and stays.
pub(crate) fn sweep(
    config: &Config,
    layout: &Layout,
    outbox: Option<&Outbox>,
) -> anyhow::Result<()> {
    // The guests first: they keep the snapshots and the tap in use.
    for swept in bbot_vm::sweep(&network_config(config), &config.runtime_dir)? {
        diag::info(format_args!("removed leftover {swept}"));
    }
    // A console log that a live guest's end would have removed; usually there is none.
    drop(fs::remove_file(config.runtime_dir.join(PRIVATE).join("console.log")));
    sweep_snapshots(layout);
    for job in [Job::Bootstrap, Job::Build] {
        tftp_folder::remove(&tftp_folder::path(config, job))?;
    }
    if let Some(outbox) = outbox
        && outbox.recover_record().context("cannot recover the task at hand")?
    {
        diag::info(format_args!("a task that was at hand is answered with interrupt"));
    }
    Ok(())
}

fn sweep_snapshots(layout: &Layout) {
    // Enumeration reports an unreadable tree.
    let Ok((machines, _)) = layout.machines() else { return };
    for machine in &machines {
        if let Err(error) = sweep_machine(layout, machine) {
            diag::warn(format_args!("cannot sweep {}: {error:#}", machine.path.display()));
        }
    }
}

fn sweep_machine(layout: &Layout, machine: &MachineDir) -> anyhow::Result<()> {
    for entry in fs::read_dir(&machine.path)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let owner = file_name.to_str().and_then(|name| layout.snapshot_owner(&machine.name, name));
        if owner.is_some_and(|pid| !is_alive(pid)) {
            bbot_btrfs::delete(&entry.path())?;
            diag::info(format_args!("removed leftover snapshot {}", entry.path().display()));
        }
    }
    Ok(())
}

/// Returns whether another process with this pid exists, be it an agent or not.
///
/// If the kernel has reused the pid, that process cannot be told from another implementation of the
/// agent, which knows no instance lock and whose snapshots must stay; so a leftover is removed by
/// the first start after that process has ended. This process itself is not the owner: the owner
/// had the pid before.
fn is_alive(pid: u32) -> bool {
    let Ok(raw) = i32::try_from(pid) else { return false };
    raw > 0 && pid != std::process::id() && kill(Pid::from_raw(raw), None) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn tells_the_dead_from_the_living() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        assert!(is_alive(pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_alive(pid));
        assert!(!is_alive(std::process::id()));
        assert!(!is_alive(0));
        assert!(!is_alive(u32::MAX));
    }
}
