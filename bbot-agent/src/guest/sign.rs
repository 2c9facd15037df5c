//! What an event of the hypervisor says about its guest (W56). Pure.

use std::fmt;
use std::time::Duration;

use bbot_vm::GuestEvent;
use bbot_vm::event::{BlockErrorAction, MemoryFailureAction, ShutdownCause, WatchdogAction};

/// From a stop of the guest's processors to the command that lets them run again: what takes a
/// snapshot or adds a device stops them for less.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// From the announcement of the hypervisor's exit to the exit.
const EXIT_LIMIT: Duration = Duration::from_secs(60);
/// From the end of a watchdog's time to what it causes.
const WATCHDOG_LIMIT: Duration = Duration::from_secs(60);
/// How long a crash kernel may work until it resets the guest.
const CRASH_KERNEL_LIMIT: Duration = Duration::from_secs(300);

/// Why a guest that has not exited will not go on with its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// It entered the state S3 of ACPI, from which only a device wakes it.
    Suspended,
    /// It saved its memory to its disk (ACPI S4): the disk is not that of a guest that shut down.
    Hibernated,
    /// Its operating system panicked.
    Panicked,
    /// Its operating system panicked, and its crash kernel did not come to an end.
    CrashKernel,
    /// Its watchdog has expired.
    Watchdog,
    /// Its processors were stopped, and not by this agent.
    Stopped,
    /// It reset itself, and boots again.
    Reset,
    /// An operator reset it, and it boots again.
    ResetByHost,
    /// It has shut down, and the hypervisor does not exit.
    NoExit,
}

impl Halt {
    /// Returns whether the host caused it, not the guest.
    pub(crate) fn is_by_host(self) -> bool {
        self == Self::ResetByHost
    }
}

/// Writes the reason as a clause.
impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspended => "the guest suspended itself to memory",
            Self::Hibernated => "the guest suspended itself to disk",
            Self::Panicked => "the guest's operating system panicked",
            Self::CrashKernel => "the guest's operating system panicked, its crash kernel hangs",
            Self::Watchdog => "the guest's watchdog has expired",
            Self::Stopped => "the guest's processors were stopped",
            Self::Reset => "the guest reset itself",
            Self::ResetByHost => "the guest was reset from outside",
            Self::NoExit => "the guest has shut down, but the hypervisor does not exit",
        })
    }
}

/// What is wrong with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostFailure {
    /// A read or write of a disk image failed.
    Disk,
    /// Memory failed.
    Memory,
}

impl HostFailure {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "a read or write of the guest's disk failed on the host",
            Self::Memory => "the host's memory has failed",
        }
    }
}

/// What an event says about its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign<'a> {
    /// Nothing: the guest goes on.
    Nothing,
    /// The guest does not go on.
    Halted(Halt),
    /// The guest does not go on unless it does so within this time.
    Halting(Halt, Duration),
    /// The guest's processors run again.
    Running,
    /// The guest boots again, which it may do before its first request.
    Rebooting(Halt),
    /// The hypervisor is about to exit, for this reason.
    Exiting(&'a ShutdownCause, Duration),
    /// What the guest does from now on may be wrong because of the host.
    HostFailed(HostFailure),
    /// The host's disk is full (W26).
    DiskFull,
}

impl<'a> Sign<'a> {
    pub(super) fn of(event: &'a GuestEvent) -> Self {
        match event {
            GuestEvent::Shutdown { reason, .. } => Self::Exiting(reason, EXIT_LIMIT),
            GuestEvent::Reset { reason, .. } => reset(reason),
            GuestEvent::Stopped => Self::Halting(Halt::Stopped, STOP_LIMIT),
            GuestEvent::Resumed => Self::Running,
            GuestEvent::Suspended => Self::Halted(Halt::Suspended),
            GuestEvent::SuspendedToDisk => Self::Halted(Halt::Hibernated),
            // Also if QEMU does nothing about it: there is no crash kernel then.
            GuestEvent::Panicked { .. } => Self::Halted(Halt::Panicked),
            GuestEvent::CrashLoaded { .. } => Self::Halting(Halt::CrashKernel, CRASH_KERNEL_LIMIT),
            GuestEvent::Watchdog { action, .. } => watchdog(action),
            GuestEvent::BlockIoError { action, no_space, .. } => disk_error(action, *no_space),
            // Otherwise the memory was not in use, and is not used again.
            GuestEvent::MemoryFailure {
                action:
                    MemoryFailureAction::Inject
                    | MemoryFailureAction::Fatal
                    | MemoryFailureAction::Reset,
                ..
            } => Self::HostFailed(HostFailure::Memory),
            // The end of the process is an input of its own. A power button does nothing by itself.
            _ => Self::Nothing,
        }
    }
}

fn reset(reason: &ShutdownCause) -> Sign<'static> {
    match reason {
        // Of a part of the machine.
        ShutdownCause::SubsystemReset => Sign::Nothing,
        ShutdownCause::HostError
        | ShutdownCause::HostQuit
        | ShutdownCause::HostReset
        | ShutdownCause::HostSignal
        | ShutdownCause::HostUi
        | ShutdownCause::SnapshotLoad => Sign::Rebooting(Halt::ResetByHost),
        _ => Sign::Rebooting(Halt::Reset),
    }
}

/// What the operator chose to have no effect has none.
fn watchdog(action: &WatchdogAction) -> Sign<'static> {
    match action {
        WatchdogAction::Pause => Sign::Halted(Halt::Watchdog),
        WatchdogAction::Reset
        | WatchdogAction::Shutdown
        | WatchdogAction::Poweroff
        | WatchdogAction::InjectNmi => Sign::Halting(Halt::Watchdog, WATCHDOG_LIMIT),
        _ => Sign::Nothing,
    }
}

/// QEMU stops the guest for a full disk, unless the machine's options say otherwise; a device that
/// does not keep account of that does not say which error it was.
fn disk_error(action: &BlockErrorAction, no_space: Option<bool>) -> Sign<'static> {
    if no_space.unwrap_or(*action == BlockErrorAction::Stop) {
        Sign::DiskFull
    } else {
        Sign::HostFailed(HostFailure::Disk)
    }
}
