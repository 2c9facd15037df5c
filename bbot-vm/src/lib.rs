//! One QEMU guest: its process, its monitor, its screen and console, its network, and its path to
//! a TFTP server of the host.
//!
//! A [`Guest`] is a QEMU process that runs as an unprivileged user, without capabilities and
//! without a way to gain any, in a session of its own, and inherits nothing but what it needs. Its
//! machine monitor (QMP) is this crate's alone; an operator has another one, a unix socket in the
//! runtime folder. What happens to it arrives as [`GuestEvent`]s, with their data, on the guest's
//! own thread.
//!
//! Its interface is connected to nothing, to QEMU's user-mode network, to any tap of the caller
//! ([`NetworkAttachment`]), or to a [`Network`]: a tap on a bridge of the host, and two nft tables
//! that lead the guest's TFTP packets to the server of one instance and keep all others from it.
//!
//! What outlives a killed process has the instance's name or number, so that [`sweep()`] finds and
//! removes it: the same happens after a crash and after a clean stop.
//!
//! Two pages describe the command line, the confinement and the packet rules: [docs/guest.md] and
//! [docs/network.md].
//!
//! [docs/guest.md]: https://docs.rs/crate/bbot-vm/latest/source/docs/guest.md
//! [docs/network.md]: https://docs.rs/crate/bbot-vm/latest/source/docs/network.md
//!
//! # Examples
//!
//! A guest in QEMU's user-mode network, which needs no privilege, until it turns itself off:
//!
//! ```no_run
//! use std::time::Duration;
//! use bbot_vm::{Guest, GuestConfig, NetworkAttachment, VmUser};
//!
//! let config = GuestConfig::new("/home/me/guest", VmUser::resolve(None)?, "/run/user/1000/guest")
//!     .cpus(2)
//!     .ram_kib(512 * 1024);
//! let guest = Guest::start(&config, NetworkAttachment::User, |event| println!("{event:?}"))?;
//! println!("the screen is at {}, a monitor at {}", guest.vnc(), guest.monitor_path().display());
//! if guest.wait(Duration::from_secs(3600)).is_none() {
//!     guest.force_down(Duration::from_secs(5))?;
//! }
//! # Ok::<(), bbot_vm::Error>(())
//! ```
//!
//! A guest on a bridge, whose TFTP packets reach port 23401 of the host:
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//! use bbot_vm::{Guest, GuestConfig, GuestEvent, Network, NetworkConfig, VmUser, VncAddress};
//!
//! let runtime_dir = Path::new("/run/bbot-agent/public-1/private");
//! let network = NetworkConfig::new("br1", 1, "public-1", 23401);
//! bbot_vm::sweep(&network, runtime_dir)?;
//! let network = Network::set_up(&network)?;
//!
//! let directory = "/build/machines/default/linux/linux-public-1-1234-1";
//! let config = GuestConfig::new(directory, VmUser::resolve(None)?, runtime_dir)
//!     .name("linux-public-1")
//!     .vnc(VncAddress::new([127, 0, 0, 1].into(), 1));
//! let (sender, events) = std::sync::mpsc::channel();
//! let mut guest = Guest::start(&config, &network, move |event| {
//!     sender.send(event).ok();
//! })?;
//! guest.power_down()?;
//! if guest.wait(Duration::from_secs(300)).is_none() {
//!     guest.force_down(Duration::from_secs(5))?;
//! }
//! for event in events {
//!     match event {
//!         GuestEvent::Shutdown { guest, reason, .. } => println!("{reason}, by guest: {guest}"),
//!         GuestEvent::BlockIoError { device, reason, .. } => println!("{device}: {reason}"),
//!         GuestEvent::Exited(exit) => println!("{exit}"), // The last one.
//!         _ => {}
//!     }
//! }
//! network.tear_down()?;
//! # Ok::<(), bbot_vm::Error>(())
//! ```
//!
//! An event, from the message that QEMU sends:
//!
//! ```
//! use bbot_vm::GuestEvent;
//! use bbot_vm::event::WatchdogAction;
//!
//! let message = r#"{"event": "WATCHDOG", "data": {"action": "reset"}}"#;
//! let Some(GuestEvent::Watchdog { action, .. }) = GuestEvent::from_qmp(message) else {
//!     panic!("another event");
//! };
//! assert_eq!(action, WatchdogAction::Reset);
//! ```
//!
//! # What it guarantees
//!
//! * A guest never outlives its [`Guest`]: to drop that kills the process. [`GuestEvent::Exited`]
//!   comes exactly once, from the process's pidfd, whatever its monitor sends.
//! * Every wait for QEMU has a limit. A connection that breaks at any point is an error or an end,
//!   never a panic, and an event that is malformed or newer than this crate does not break it.
//! * What the guest can fill is bounded: console log, standard error, lines of the monitor, events.
//! * No other guest and no other host on the bridge reaches the TFTP port of an instance.
//!
//! # What it does not
//!
//! * It does not make bridges, routes or addresses; the bridge is the operator's. The one change to
//!   it is that its present MAC address is set, so that it does not change when taps are added or
//!   removed.
//! * It cannot use a disk image in a folder that the guest's user may not search (mode 0711 is
//!   enough); the folders above that one do not matter.
//! * It does not speak TFTP, and does not know what a guest is for.
//! * It does not filter the console log, which may contain terminal escapes.
//!
//! # Errors
//!
//! [`Error`] says what was being done, and to what; the output of a QEMU that did not start is part
//! of it.
//!
//! # Platform
//!
//! Linux 5.11 and later on x86-64, QEMU 7.2 and later. A [`Network`] needs tun, bridge and nftables
//! (the program `nft`) and `CAP_NET_ADMIN`. To run guests as another user than its own, the calling
//! process must be root.

#![deny(unsafe_code)]

mod command;
mod config;
mod error;
pub mod event;
mod exit;
mod guest;
mod mac_address;
mod network;
mod process;
mod qmp;
mod sweep;

pub use config::{GuestConfig, VncAddress};
pub use error::{BridgeProblem, Error};
pub use event::GuestEvent;
pub use exit::GuestExit;
pub use guest::{Guest, Probe};
pub use mac_address::{MacAddress, ParseMacAddressError};
pub use network::{
    Interface, Network, NetworkAttachment, NetworkConfig, NetworkWatch, Restored, TapUse,
    bridge_address, usable_bridge,
};
pub use process::{Accelerator, VmUser};
pub use qmp::QmpError;
pub use sweep::{Swept, sweep, sweep_guests};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest is moved between threads; what describes one is shared as well.
    #[test]
    fn types_are_send_and_sync() {
        fn send<T: Send + 'static>() {}
        fn send_and_sync<T: Send + Sync + 'static>() {}
        send::<Guest>();
        send_and_sync::<Network>();
        send_and_sync::<GuestConfig>();
        send_and_sync::<NetworkConfig>();
        send_and_sync::<NetworkAttachment<'static>>();
        send_and_sync::<GuestEvent>();
        send_and_sync::<Swept>();
        send_and_sync::<Error>();
        send_and_sync::<ParseMacAddressError>();
    }
}
