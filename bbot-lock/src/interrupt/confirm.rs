//! Whether a process has a lock, as the kernel knows it.
//!
//! The content of a lock file is a claim: its pid may be of another pid namespace, or of a process
//! that has ended, and whose pid another process has now. In bbot-agent, rule W45 is built on this.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::{Victim, WithheldReason};
use crate::holders::{LockStatus, LockTable};

/// Checks that the process that is the victim by now has the lock. Returns why it is not to be
/// signalled.
pub(super) fn confirm(victim: &Victim) -> Result<(), WithheldReason> {
    if !is_proc_ours() {
        return Err(WithheldReason::Unconfirmed);
    }
    // An error means that it has just ended, or that its files may not be examined.
    if has_locked(victim.pid, &victim.lock_file).unwrap_or(false) {
        return Ok(());
    }
    let table = LockTable::read().unwrap_or_default();
    if table.status(&victim.lock_file) == LockStatus::LockedBy(victim.pid) {
        return Ok(());
    }
    // A process that cannot be examined cannot be signalled either, as a rule.
    let is_permitted = kill(Pid::from_raw(victim.pid), None) != Err(Errno::EPERM);
    Err(if is_permitted { WithheldReason::Unconfirmed } else { WithheldReason::NotPermitted })
}

/// Returns whether `/proc` shows the pid namespace of this process.
fn is_proc_ours() -> bool {
    let this = std::process::id().to_string();
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == this.as_str())
}

/// Returns whether the process has an open file description that has the lock: its own, or one that
/// it has inherited from the process that took the lock (`proc_pid_fdinfo(5)`).
fn has_locked(pid: i32, lock_file: &Path) -> io::Result<bool> {
    let wanted = fs::metadata(lock_file)?;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // A descriptor that was closed meanwhile.
        let Ok(open) = fs::metadata(entry.path()) else { continue };
        if (open.dev(), open.ino()) != (wanted.dev(), wanted.ino()) {
            continue;
        }
        let number = entry.file_name();
        let info = format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy());
        let is_lock = |line: &str| {
            line.starts_with("lock:") && line.contains("FLOCK") && line.contains("WRITE")
        };
        if fs::read_to_string(info).is_ok_and(|info| info.lines().any(is_lock)) {
            return Ok(true);
        }
    }
    Ok(false)
}
