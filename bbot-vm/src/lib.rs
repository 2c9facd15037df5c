//! One QEMU guest: its process, its monitor, its screen and console, its tap, and its way to a TFTP
//! server of the host.
//!
//! A [`Network`] is a tap on a bridge of the host and two nft tables. A [`Guest`] is a QEMU process
//! on that tap: it runs as an unprivileged user, without capabilities and without a way to gain
//! any, in a session of its own, and inherits nothing but what it needs. Its machine monitor (QMP)
//! is ours alone; an operator has another one, a unix socket in the runtime folder. What happens to
//! it is told as [`GuestEvent`]s from the guest's own thread.
//!
//! All that outlives a killed process bears the instance's name or number, so that [`sweep()`]
//! finds it: it is the same in a crash and in a clean stop.
//!
//! # Example
//!
//! ```no_run
//! use std::time::Duration;
//! use bbot_vm::{Guest, GuestConfig, GuestEvent, Network, NetworkConfig, VmUser, VncAddress};
//!
//! let network = NetworkConfig {
//!     bridge: "br1".into(),
//!     offset: 1,
//!     instance: "public-1".into(),
//!     tftp_port: 23401,
//! };
//! let runtime_dir = std::path::PathBuf::from("/run/bbot-agent/public-1/private");
//! bbot_vm::sweep(&network, &runtime_dir)?;
//! let network = Network::set_up(&network)?;
//!
//! let (sender, events) = std::sync::mpsc::channel::<GuestEvent>();
//! let config = GuestConfig {
//!     hypervisor: "qemu-system-x86_64".into(),
//!     directory: "/build/machines/default/linux/linux-public-1-1234-1".into(),
//!     name: "linux-public-1".into(),
//!     cpus: 2,
//!     ram_kib: 1024 * 1024,
//!     mac: bbot_vm::random_mac(),
//!     options: None,
//!     vnc: VncAddress { address: "127.0.0.1".parse()?, display: 1 },
//!     user: VmUser::resolve(None)?,
//!     runtime_dir,
//!     console_limit: 1024 * 1024,
//! };
//! let mut guest = Guest::start(&config, &network, move |event| {
//!     sender.send(event).ok();
//! })?;
//! guest.power_down()?;
//! if guest.wait(Duration::from_secs(300)).is_none() {
//!     guest.force_down(Duration::from_secs(5))?;
//! }
//! for event in events {
//!     println!("{event:?}"); // At last `Exited`, with code, signal and standard error.
//! }
//! network.tear_down()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it guarantees
//!
//! * A guest that started is never alone: dropping a [`Guest`] kills it, and [`GuestEvent::Exited`]
//!   comes exactly once, from the process's pidfd, whatever its monitor says.
//! * Every wait for QEMU has a limit. A connection that breaks at any point is an error or an end,
//!   never a panic.
//! * What the guest can fill is bounded: console log, standard error, lines of the monitor, events.
//! * No other guest and nobody on the bridge reaches the TFTP port of an instance.
//!
//! # What it does not
//!
//! * It does not make bridges, nor routes, nor addresses; the bridge is the operator's. The one
//!   thing done to it is that the MAC address that it has becomes its own, so that it does not
//!   change with the taps that come and go.
//! * It cannot use a disk image in a folder that the guest's user may not search (mode 0711 will
//!   do); the folders above that one are not looked at.
//! * It does not speak TFTP, and knows nothing of what a guest is for.
//! * A console log is what the guest wrote, terminal escapes included.
//!
//! # Errors
//!
//! [`Error`] says what was being done, and to what; a QEMU that did not start is quoted.
//!
//! # Platform
//!
//! Linux 5.11 and up with tun, bridge and nftables (the program `nft`), on x86-64, QEMU 7.2 and up.
//! It needs `CAP_NET_ADMIN`, and root to run guests as another user than its own.

#![deny(unsafe_code)]

mod accelerator;
mod command;
mod config;
mod console;
mod error;
mod guest;
mod mac;
mod network;
mod process;
mod qmp;
mod sweep;
mod sys;
mod user;
mod watch;

pub use accelerator::Accelerator;
pub use config::{GuestConfig, VncAddress};
pub use error::Error;
pub use guest::{Guest, GuestEvent, GuestExit};
pub use mac::random_mac;
pub use network::{Network, NetworkConfig, bridge_address};
pub use qmp::QmpError;
pub use sweep::{Swept, sweep};
pub use user::VmUser;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
