//! One running guest (`docs/guest.md`).

mod console_log;
mod exit_status;
mod hypervisor;
mod launch;
mod monitor_socket;
mod probe;
mod report;
mod streams;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use qapi::qmp;

use crate::config::{GuestConfig, VncAddress};
use crate::error::Error;
use crate::event::GuestEvent;
use crate::exit::GuestExit;
use crate::mac_address::MacAddress;
use crate::network::NetworkAttachment;
use crate::process::Accelerator;
use hypervisor::Hypervisor;
use launch::{Launch, Launched};
use monitor_socket::SocketFile;

pub use probe::Probe;

pub(crate) use monitor_socket::{MONITOR_SOCKET, remove_socket};

/// From exec to a running guest. It takes some 50 ms on an idle host.
const START_LIMIT: Duration = Duration::from_secs(60);

/// One running guest. Dropped, it is killed.
#[derive(Debug)]
pub struct Guest {
    // The first to be dropped: the others belong to its process.
    hypervisor: Hypervisor,
    mac: MacAddress,
    vnc: VncAddress,
    accelerator: Accelerator,
    executed: Instant,
    monitor_socket: SocketFile,
    console_path: PathBuf,
}

impl Guest {
    /// Starts a guest whose interface is connected to `network`: `&network` of a
    /// [`Network`](crate::Network), or a [`NetworkAttachment`].
    ///
    /// When this returns, the guest's processors run, and its screen accepts connections. From then
    /// on `events` is called on the guest's own thread. It must not panic, nor wait for anything,
    /// least of all for this guest. If the start fails, it is never called.
    ///
    /// # Errors
    ///
    /// If the configuration cannot work, if something of it cannot be prepared, or if the
    /// hypervisor does not get its guest running: then with what it wrote to standard error.
    pub fn start<'network>(
        config: &GuestConfig,
        network: impl Into<NetworkAttachment<'network>>,
        events: impl FnMut(GuestEvent) + Send + 'static,
    ) -> Result<Guest, Error> {
        config.check()?;
        let launch = Launch::prepare(config)?;
        let program = launch.program.clone();
        let (has_started, started) = mpsc::channel();
        let launched = launch.execute(config, network.into(), started, events)?;
        let mut guest = Guest::new(config, launched);
        // The greeting alone is no proof: QEMU sends it before it binds the screen's port. It
        // answers the handshake's command only when its initialization is complete.
        match guest.hypervisor.handshake(START_LIMIT) {
            Ok(()) => {
                // The thread keeps the receiver until it has reported the guest's end. An error
                // means that the thread panicked, and has printed why.
                let _ = has_started.send(());
                Ok(guest)
            }
            Err(source) => {
                drop(has_started);
                let exit = guest.hypervisor.end_failed_start(&source)?;
                Err(Error::Start { program, source, exit })
            }
        }
    }

    fn new(config: &GuestConfig, launched: Launched) -> Guest {
        let Launched { hypervisor, accelerator, executed, monitor_socket, console_path } = launched;
        let (mac, vnc) = (config.mac, config.vnc);
        Guest { hypervisor, mac, vnc, accelerator, executed, monitor_socket, console_path }
    }

    /// Returns the number of the hypervisor's process.
    pub fn pid(&self) -> i32 {
        self.hypervisor.pid()
    }

    /// Returns the MAC address of the guest's interface.
    pub fn mac(&self) -> MacAddress {
        self.mac
    }

    /// Returns where the guest's screen is shown.
    pub fn vnc(&self) -> VncAddress {
        self.vnc
    }

    /// Returns what executes the guest's instructions.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Returns when the hypervisor was executed.
    pub fn executed(&self) -> Instant {
        self.executed
    }

    /// Returns the path of the operator's monitor: a unix socket that takes QEMU's human commands,
    /// such as `cont` and `quit`. It is removed with the guest.
    pub fn monitor_path(&self) -> &Path {
        self.monitor_socket.path()
    }

    /// Returns the path of the console log: the end of what the guest wrote to its first serial
    /// port, as it wrote it. It stays when the guest has ended.
    pub fn console_path(&self) -> &Path {
        &self.console_path
    }

    /// Presses the guest's power button. The guest may turn itself off then, or ignore it.
    ///
    /// # Errors
    ///
    /// If the hypervisor does not execute the command.
    pub fn power_down(&mut self) -> Result<(), Error> {
        self.hypervisor.command(qmp::system_powerdown {})
    }

    /// Stops the guest's processors. Its memory, disk and screen stay.
    ///
    /// # Errors
    ///
    /// If the hypervisor does not execute the command.
    pub fn suspend(&mut self) -> Result<(), Error> {
        self.hypervisor.command(qmp::stop {})
    }

    /// Lets the guest's processors run again.
    ///
    /// # Errors
    ///
    /// If the hypervisor does not execute the command.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.hypervisor.command(qmp::cont {})
    }

    /// Waits for the hypervisor's end. Returns `None` if it does not come within `limit`.
    pub fn wait(&self, limit: Duration) -> Option<GuestExit> {
        self.hypervisor.wait(limit)
    }

    /// Ends the guest without asking it: the hypervisor is told to quit, and killed if it has not
    /// done so within `limit`. When this returns, the disk image is no longer written to.
    ///
    /// # Errors
    ///
    /// [`Error::StillAlive`] if the hypervisor survives even that.
    pub fn force_down(mut self, limit: Duration) -> Result<GuestExit, Error> {
        self.hypervisor.quit(limit)
    }
}
