//! What happens to a guest, as QEMU reports it.
//!
//! The events of QEMU's machine protocol (QMP) become [`GuestEvent`]s with their data: see "QEMU
//! QMP Reference Manual", sections "VM run state" and "Block devices", for what each means. QEMU
//! adds events, fields and values with each release, and its process may be under the control of a
//! hostile guest. So an event is never an error: one without a name here is
//! [`GuestEvent::Other`], a value without a name is the `Other` of its type, a field that is
//! missing or of another type has its empty value, and every text is cut to a fixed length.

mod data;
mod values;

use crate::exit::GuestExit;
use crate::qmp;
use data::{Data, bounded};

pub use values::{
    BlockErrorAction, BlockOperation, MemoryFailureAction, MemoryFailureRecipient, PanicAction,
    ShutdownCause, WatchdogAction,
};

/// The most bytes of a text within an event.
pub(crate) const TEXT_MAX: usize = 256;
/// The most bytes of an event's data, as JSON, that is passed on whole.
pub(crate) const DATA_MAX: usize = 4096;

/// What happens to a guest.
///
/// Texts that QEMU sends are cut to 256 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuestEvent {
    /// The hypervisor's process has ended. This comes exactly once, and is the last event.
    Exited(GuestExit),
    /// The guest was shut down; the hypervisor is about to exit (`SHUTDOWN`).
    #[non_exhaustive]
    Shutdown {
        /// Whether the guest asked for it, not the host. `false` if QEMU does not say.
        guest: bool,
        /// What caused it.
        reason: ShutdownCause,
    },
    /// The guest was reset (`RESET`).
    ///
    /// Guests are started with `-no-reboot`: a reset that the guest asks for is a
    /// [`Shutdown`](GuestEvent::Shutdown) instead.
    #[non_exhaustive]
    Reset {
        /// Whether the guest asked for it, not the host. `false` if QEMU does not say.
        guest: bool,
        /// What caused it.
        reason: ShutdownCause,
    },
    /// The guest's processors were stopped (`STOP`).
    Stopped,
    /// The guest's processors run again (`RESUME`).
    Resumed,
    /// The guest entered a hardware suspension state such as ACPI S3 (`SUSPEND`).
    Suspended,
    /// The guest saved its memory to its disk and turned itself off, as in ACPI S4; the hypervisor
    /// is about to exit (`SUSPEND_DISK`).
    SuspendedToDisk,
    /// The guest woke up from a hardware suspension state (`WAKEUP`).
    WokenUp,
    /// The guest's power button was pressed (`POWERDOWN`). The guest may ignore it.
    PoweredDown,
    /// The guest's operating system reported a panic (`GUEST_PANICKED`).
    #[non_exhaustive]
    Panicked {
        /// What QEMU does about it.
        action: PanicAction,
        /// What the guest's operating system said about it.
        info: Option<PanicInfo>,
    },
    /// The guest's operating system reported a panic that it handles itself, such as by a crash
    /// kernel (`GUEST_CRASHLOADED`).
    #[non_exhaustive]
    CrashLoaded {
        /// What QEMU does about it.
        action: PanicAction,
        /// What the guest's operating system said about it.
        info: Option<PanicInfo>,
    },
    /// The guest's watchdog device has expired (`WATCHDOG`).
    #[non_exhaustive]
    Watchdog {
        /// What QEMU does about it.
        action: WatchdogAction,
    },
    /// A read or write of a disk image failed on the host (`BLOCK_IO_ERROR`).
    #[non_exhaustive]
    BlockIoError {
        /// The name of the drive, `disk0` for the disk image; may be empty.
        device: String,
        /// The name of the block driver node; empty if QEMU names none.
        node_name: String,
        /// What failed.
        operation: BlockOperation,
        /// What QEMU does about it. By default it stops the guest if the host's disk is full, and
        /// reports any other error to the guest.
        action: BlockErrorAction,
        /// Whether the host's disk is full, if the device keeps account of that.
        no_space: Option<bool>,
        /// The host's error, for humans.
        reason: String,
    },
    /// The host's memory has failed (`MEMORY_FAILURE`).
    #[non_exhaustive]
    MemoryFailure {
        /// Whose memory it is.
        recipient: MemoryFailureRecipient,
        /// What QEMU does about it.
        action: MemoryFailureAction,
        /// Whether the recipient was using the memory. `false` if QEMU does not say.
        action_required: bool,
        /// Whether it came while an earlier failure was being handled. `false` if QEMU does not
        /// say.
        recursive: bool,
    },
    /// An event without a name here.
    #[non_exhaustive]
    Other {
        /// Its name in QMP.
        name: String,
        /// Its data, as JSON. `None` if it has none, or if that has more than 4096 bytes.
        data: Option<String>,
    },
}

/// What a guest's operating system said about its panic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicInfo {
    /// The five Hyper-V crash parameters. Linux: an error code, the guest OS ID, the program
    /// counter, RAX, the stack pointer. Windows: the STOP code and its first four arguments.
    HyperV([u64; 5]),
    /// Anything else, as JSON, cut to 256 bytes.
    Other(String),
}

impl GuestEvent {
    /// Returns the event of one message of QMP, or `None` if it is not an event.
    ///
    /// A [`Guest`](crate::Guest) does this for its caller. It is public for the tests of callers,
    /// which cannot construct every variant:
    ///
    /// ```
    /// use bbot_vm::GuestEvent;
    /// use bbot_vm::event::ShutdownCause;
    ///
    /// let message = r#"{"timestamp": {"seconds": 1267040730, "microseconds": 682951},
    ///     "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#;
    /// let Some(GuestEvent::Shutdown { guest, reason, .. }) = GuestEvent::from_qmp(message) else {
    ///     panic!("not a shutdown");
    /// };
    /// assert_eq!((guest, reason), (true, ShutdownCause::GuestShutdown));
    /// ```
    pub fn from_qmp(message: &str) -> Option<GuestEvent> {
        qmp::Event::parse(message.as_bytes()).map(GuestEvent::from_event)
    }

    pub(crate) fn from_event(event: qmp::Event) -> GuestEvent {
        let qmp::Event { name, data } = event;
        let Some(parse) = parser(&name) else {
            return GuestEvent::Other {
                name: bounded(&name, TEXT_MAX),
                data: data::text_of(&data),
            };
        };
        parse(&Data::new(data))
    }
}

/// Returns what reads the data of the event `name`, if that has a name here.
fn parser(name: &str) -> Option<fn(&Data) -> GuestEvent> {
    Some(match name {
        "SHUTDOWN" => shutdown,
        "RESET" => reset,
        "STOP" => |_| GuestEvent::Stopped,
        "RESUME" => |_| GuestEvent::Resumed,
        "SUSPEND" => |_| GuestEvent::Suspended,
        "SUSPEND_DISK" => |_| GuestEvent::SuspendedToDisk,
        "WAKEUP" => |_| GuestEvent::WokenUp,
        "POWERDOWN" => |_| GuestEvent::PoweredDown,
        "GUEST_PANICKED" => panicked,
        "GUEST_CRASHLOADED" => crash_loaded,
        "WATCHDOG" => |data| GuestEvent::Watchdog { action: data.named("action") },
        "BLOCK_IO_ERROR" => block_io_error,
        "MEMORY_FAILURE" => memory_failure,
        _ => return None,
    })
}

fn shutdown(data: &Data) -> GuestEvent {
    GuestEvent::Shutdown { guest: data.is_true("guest"), reason: data.named("reason") }
}

fn reset(data: &Data) -> GuestEvent {
    GuestEvent::Reset { guest: data.is_true("guest"), reason: data.named("reason") }
}

fn panicked(data: &Data) -> GuestEvent {
    GuestEvent::Panicked { action: data.named("action"), info: panic_info(data) }
}

fn crash_loaded(data: &Data) -> GuestEvent {
    GuestEvent::CrashLoaded { action: data.named("action"), info: panic_info(data) }
}

fn panic_info(data: &Data) -> Option<PanicInfo> {
    let info = data.object("info")?;
    let arguments = ["arg1", "arg2", "arg3", "arg4", "arg5"].map(|key| info.number(key));
    if info.text("type") == "hyper-v" && arguments.iter().all(Option::is_some) {
        Some(PanicInfo::HyperV(arguments.map(Option::unwrap_or_default)))
    } else {
        Some(PanicInfo::Other(info.to_text()))
    }
}

fn block_io_error(data: &Data) -> GuestEvent {
    GuestEvent::BlockIoError {
        device: data.text("device"),
        node_name: data.text("node-name"),
        operation: data.named("operation"),
        action: data.named("action"),
        no_space: data.flag("nospace"),
        reason: data.text("reason"),
    }
}

fn memory_failure(data: &Data) -> GuestEvent {
    let flags = data.object("flags").unwrap_or_default();
    GuestEvent::MemoryFailure {
        recipient: data.named("recipient"),
        action: data.named("action"),
        action_required: flags.is_true("action-required"),
        recursive: flags.is_true("recursive"),
    }
}

#[cfg(test)]
mod tests;
