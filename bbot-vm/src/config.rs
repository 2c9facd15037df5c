//! What a guest is made of, and the checks before it is made.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::Error;
use crate::mac;
use crate::user::VmUser;

/// The name of the disk image within a machine's folder.
pub(crate) const DISK_IMAGE: &str = "disk.img";

/// The TCP port of VNC display 0.
const VNC_PORT: u16 = 5900;

/// What a guest is made of.
#[derive(Debug, Clone)]
pub struct GuestConfig {
    /// The QEMU program: a path, or a name to look for in `PATH`.
    pub hypervisor: PathBuf,
    /// The working snapshot: the program's working folder, which holds `disk.img`.
    pub directory: PathBuf,
    /// The guest's name, `<machine>-<toolchain>-<instance>`.
    pub name: String,
    /// The number of processors.
    pub cpus: u32,
    /// The size of the memory in KiB; whole MiB of it are used.
    pub ram_kib: u64,
    /// The MAC address of the guest's interface, `xx:xx:xx:xx:xx:xx`.
    pub mac: String,
    /// The words that replace the default devices, one argument each.
    pub options: Option<Vec<String>>,
    /// Where the guest's screen is shown.
    pub vnc: VncAddress,
    /// The user that the program runs as; `disk.img` is given to that user.
    pub user: VmUser,
    /// An existing folder for the operator's monitor socket and the console log.
    pub runtime_dir: PathBuf,
    /// How much of the guest's serial console is kept, in bytes.
    pub console_limit: usize,
}

impl GuestConfig {
    /// Refuses what QEMU would misunderstand.
    pub(crate) fn check(&self) -> Result<(), Error> {
        mac::check(&self.mac)?;
        let refused = |what, value: &str, reason| {
            Err(Error::Config { what, value: value.to_owned(), reason })
        };
        if self.name.is_empty() || self.name.contains(is_unfit) {
            return refused("guest name", &self.name, "is empty or has a control character");
        }
        if self.cpus == 0 {
            return refused("number of processors", "0", "is less than 1");
        }
        if self.ram_kib < 1024 {
            return refused("memory in KiB", &self.ram_kib.to_string(), "is less than 1 MiB");
        }
        if self.vnc.display > u16::MAX - VNC_PORT {
            return refused("VNC display", &self.vnc.display.to_string(), "has no TCP port");
        }
        let mut words = self.options.iter().flatten();
        match words.find(|word| word.is_empty() || word.contains(is_unfit)) {
            Some(word) => refused("guest option", word, "is empty or has a control character"),
            None => Ok(()),
        }
    }
}

/// NUL would end an argument early; the rest would garble a monitor's or a process list's lines.
pub(crate) fn is_unfit(c: char) -> bool {
    c.is_control()
}

/// Where a guest's screen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VncAddress {
    /// The address of the host that the screen is bound to.
    pub address: IpAddr,
    /// The display: TCP port 5900 and up.
    pub display: u16,
}

impl VncAddress {
    /// Returns the address and TCP port that a viewer connects to.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, VNC_PORT.saturating_add(self.display))
    }

    /// Returns it the way QEMU takes it: with the display in place of the port.
    pub(crate) fn argument(&self) -> String {
        match self.address {
            IpAddr::V4(address) => format!("{address}:{}", self.display),
            IpAddr::V6(address) => format!("[{address}]:{}", self.display),
        }
    }
}

/// Writes it as a viewer takes it: `127.0.0.1:5901`.
impl fmt::Display for VncAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}
