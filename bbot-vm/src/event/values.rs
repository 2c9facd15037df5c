//! The values that QEMU's schema gives names to.

use std::fmt;

/// Defines an enumeration of QEMU's schema, with the name of each value there, and with a variant
/// for the names that QEMU adds later.
macro_rules! named_values {
    (
        $(#[$attribute:meta])*
        $type:ident { $($(#[$variant_attribute:meta])* $variant:ident = $name:literal,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $($(#[$variant_attribute])* $variant,)+
            /// A value without a name here, by its name in QMP; empty if QEMU sent no text.
            Other(String),
        }

        impl $type {
            /// Returns the value's name in QMP.
            pub fn as_str(&self) -> &str {
                match self {
                    $($type::$variant => $name,)+
                    $type::Other(name) => name,
                }
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> $type {
                match name.as_str() {
                    $($name => $type::$variant,)+
                    _ => $type::Other(name),
                }
            }
        }

        /// Writes the value's name in QMP.
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_values! {
    /// Why a guest was shut down or reset (QAPI: `ShutdownCause`).
    ShutdownCause {
        /// No request is pending.
        None = "none",
        /// An error of the host prevents further use of the guest.
        HostError = "host-error",
        /// The monitor command `quit`.
        HostQuit = "host-qmp-quit",
        /// The monitor command `system_reset`.
        HostReset = "host-qmp-system-reset",
        /// A signal to the hypervisor's process, such as SIGTERM.
        HostSignal = "host-signal",
        /// An action of the hypervisor's user interface.
        HostUi = "host-ui",
        /// The guest turned itself off, through ACPI or other hardware.
        GuestShutdown = "guest-shutdown",
        /// The guest reset itself, and `-no-reboot` makes that a shutdown.
        GuestReset = "guest-reset",
        /// The guest's operating system panicked.
        GuestPanic = "guest-panic",
        /// A reset of a part of the machine (s390).
        SubsystemReset = "subsystem-reset",
        /// A snapshot is loaded by record and replay.
        SnapshotLoad = "snapshot-load",
    }
}

named_values! {
    /// What QEMU does about a guest's panic (QAPI: `GuestPanicAction`).
    PanicAction {
        /// The guest is stopped.
        Pause = "pause",
        /// The guest is turned off.
        Poweroff = "poweroff",
        /// The guest runs on.
        Run = "run",
    }
}

named_values! {
    /// What QEMU does when a watchdog expires (QAPI: `WatchdogAction`).
    WatchdogAction {
        /// The guest is reset.
        Reset = "reset",
        /// The guest's power button is pressed.
        Shutdown = "shutdown",
        /// The hypervisor exits.
        Poweroff = "poweroff",
        /// The guest is stopped.
        Pause = "pause",
        /// A message is printed.
        Debug = "debug",
        /// Nothing is done.
        None = "none",
        /// A non-maskable interrupt is sent to the guest.
        InjectNmi = "inject-nmi",
    }
}

named_values! {
    /// What was done to a disk image (QAPI: `IoOperationType`).
    BlockOperation {
        /// A read.
        Read = "read",
        /// A write.
        Write = "write",
    }
}

named_values! {
    /// What QEMU does about an error of a disk image (QAPI: `BlockErrorAction`).
    BlockErrorAction {
        /// The guest sees no error.
        Ignore = "ignore",
        /// The guest's device reports the error to the guest.
        Report = "report",
        /// The guest is stopped: a [`Stopped`](super::GuestEvent::Stopped) follows.
        Stop = "stop",
    }
}

named_values! {
    /// Whose memory has failed (QAPI: `MemoryFailureRecipient`).
    MemoryFailureRecipient {
        /// The hypervisor's own.
        Hypervisor = "hypervisor",
        /// The guest's.
        Guest = "guest",
    }
}

named_values! {
    /// What QEMU does about a memory failure (QAPI: `MemoryFailureAction`).
    MemoryFailureAction {
        /// Nothing.
        Ignore = "ignore",
        /// The guest gets a machine check exception.
        Inject = "inject",
        /// The hypervisor exits.
        Fatal = "fatal",
        /// The guest is reset.
        Reset = "reset",
    }
}
