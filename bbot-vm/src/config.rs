//! What a guest is made of, and the checks before it is made.

mod vnc;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::error::Error;
use crate::mac_address::MacAddress;
use crate::process::{Accelerator, VmUser};

pub use vnc::VncAddress;

/// What a guest is made of.
///
/// [`new`](GuestConfig::new) takes what has no default. Each other field has a method of its name
/// that replaces its default, and can be assigned as well.
///
/// ```
/// use bbot_vm::{GuestConfig, VmUser};
///
/// let config = GuestConfig::new("/machines/linux", VmUser::resolve(None)?, "/run/guest-1")
///     .name("linux-1")
///     .cpus(2)
///     .ram_kib(1024 * 1024);
/// assert_eq!((config.cpus, config.options), (2, None));
/// # Ok::<(), bbot_vm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct GuestConfig {
    /// The folder that holds `disk.img`, a raw disk image: the program's working folder.
    pub directory: PathBuf,
    /// The user that the program runs as; `disk.img` is given to that user.
    pub user: VmUser,
    /// An existing folder for the operator's monitor socket and the console log, for this guest
    /// alone. The path of the socket in it must not exceed 107 bytes.
    pub runtime_dir: PathBuf,
    /// The QEMU program: a path, or a name that is looked up in `PATH`. Default:
    /// `qemu-system-x86_64`.
    pub hypervisor: PathBuf,
    /// The guest's name, which QEMU shows to operators. Default: `guest`.
    pub name: String,
    /// The number of processors. Default: 1.
    pub cpus: u32,
    /// The size of the memory in KiB, rounded down to whole MiB. Default: 1 GiB.
    pub ram_kib: u64,
    /// The MAC address of the guest's interface. Default: a random one.
    pub mac: MacAddress,
    /// The words that replace the default devices, one argument of QEMU each. Default: none.
    pub options: Option<Vec<String>>,
    /// Where the guest's screen is shown. Default: display 0 at 127.0.0.1.
    pub vnc: VncAddress,
    /// What executes the guest's instructions. Default: KVM if [`Accelerator::detect`] finds it
    /// usable, and otherwise whichever of KVM and TCG the program can use.
    pub accelerator: Option<Accelerator>,
    /// The size in bytes that the log of the guest's serial console does not exceed; its end is
    /// kept. Default: 1 MiB.
    pub console_limit: usize,
}

impl GuestConfig {
    /// Returns the configuration of a guest whose disk image is in `directory`, and that runs as
    /// `user`, with its sockets and logs in `runtime_dir`.
    pub fn new(
        directory: impl Into<PathBuf>,
        user: VmUser,
        runtime_dir: impl Into<PathBuf>,
    ) -> GuestConfig {
        GuestConfig {
            directory: directory.into(),
            user,
            runtime_dir: runtime_dir.into(),
            hypervisor: "qemu-system-x86_64".into(),
            name: "guest".into(),
            cpus: 1,
            ram_kib: 1 << 20,
            mac: MacAddress::random(),
            options: None,
            vnc: VncAddress::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            accelerator: None,
            console_limit: 1 << 20,
        }
    }

    /// Replaces [`hypervisor`](GuestConfig#structfield.hypervisor).
    #[must_use]
    pub fn hypervisor(self, hypervisor: impl Into<PathBuf>) -> GuestConfig {
        GuestConfig { hypervisor: hypervisor.into(), ..self }
    }

    /// Replaces [`name`](GuestConfig#structfield.name).
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> GuestConfig {
        GuestConfig { name: name.into(), ..self }
    }

    /// Replaces [`cpus`](GuestConfig#structfield.cpus).
    #[must_use]
    pub fn cpus(self, cpus: u32) -> GuestConfig {
        GuestConfig { cpus, ..self }
    }

    /// Replaces [`ram_kib`](GuestConfig#structfield.ram_kib).
    #[must_use]
    pub fn ram_kib(self, ram_kib: u64) -> GuestConfig {
        GuestConfig { ram_kib, ..self }
    }

    /// Replaces [`mac`](GuestConfig#structfield.mac).
    #[must_use]
    pub fn mac(self, mac: MacAddress) -> GuestConfig {
        GuestConfig { mac, ..self }
    }

    /// Replaces [`options`](GuestConfig#structfield.options).
    #[must_use]
    pub fn options(self, options: Option<Vec<String>>) -> GuestConfig {
        GuestConfig { options, ..self }
    }

    /// Replaces [`vnc`](GuestConfig#structfield.vnc).
    #[must_use]
    pub fn vnc(self, vnc: VncAddress) -> GuestConfig {
        GuestConfig { vnc, ..self }
    }

    /// Replaces [`accelerator`](GuestConfig#structfield.accelerator).
    #[must_use]
    pub fn accelerator(self, accelerator: Option<Accelerator>) -> GuestConfig {
        GuestConfig { accelerator, ..self }
    }

    /// Replaces [`console_limit`](GuestConfig#structfield.console_limit).
    #[must_use]
    pub fn console_limit(self, console_limit: usize) -> GuestConfig {
        GuestConfig { console_limit, ..self }
    }

    /// Refuses what QEMU would misunderstand.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |what, value: &str, reason| {
            Err(Error::Config { what, value: value.to_owned(), reason })
        };
        if !self.mac.is_unicast() || self.mac.octets() == [0; 6] {
            let value = self.mac.to_string();
            return refused("MAC address", &value, "is not the address of one interface");
        }
        if self.name.is_empty() || self.name.contains(char::is_control) {
            return refused("guest name", &self.name, "is empty or has a control character");
        }
        if self.cpus == 0 {
            return refused("number of processors", "0", "is less than 1");
        }
        if self.ram_kib < 1024 {
            return refused("memory in KiB", &self.ram_kib.to_string(), "is less than 1 MiB");
        }
        if self.vnc.display > VncAddress::DISPLAY_MAX {
            return refused("VNC display", &self.vnc.display.to_string(), "has no TCP port");
        }
        let mut words = self.options.iter().flatten();
        // NUL would end an argument early; others would garble the lines of a process list.
        match words.find(|word| word.is_empty() || word.contains(char::is_control)) {
            Some(word) => refused("guest option", word, "is empty or has a control character"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> GuestConfig {
        GuestConfig::new("/machines/linux", VmUser::resolve(Some("nobody")).unwrap(), "/run/1")
    }

    #[test]
    fn what_qemu_would_misunderstand_is_refused() {
        config().check().unwrap();
        let options = |word: &str| Some(vec![word.to_owned()]);
        for (config, expected) in [
            (config().name("a\0b"), r#"guest name "a\0b" is empty or has a control character"#),
            (config().name(""), r#"guest name "" is empty or has a control character"#),
            (
                config().options(options("-usb\n")),
                r#"guest option "-usb\n" is empty or has a control character"#,
            ),
            (
                config().options(options("")),
                r#"guest option "" is empty or has a control character"#,
            ),
            (
                config().mac(MacAddress::new([0x53, 0x54, 0, 0x12, 0x34, 0x56])),
                r#"MAC address "53:54:00:12:34:56" is not the address of one interface"#,
            ),
            (
                config().mac(MacAddress::new([0; 6])),
                r#"MAC address "00:00:00:00:00:00" is not the address of one interface"#,
            ),
            (config().cpus(0), r#"number of processors "0" is less than 1"#),
            (config().ram_kib(1023), r#"memory in KiB "1023" is less than 1 MiB"#),
            (
                config().vnc(VncAddress::new([127, 0, 0, 1].into(), 59636)),
                r#"VNC display "59636" has no TCP port"#,
            ),
        ] {
            assert_eq!(config.check().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn each_method_replaces_its_field_alone() {
        let mac = MacAddress::new([2, 0, 0, 0, 0, 1]);
        let vnc = VncAddress::new([10, 0, 0, 1].into(), 7);
        let changed = config()
            .hypervisor("/qemu")
            .name("linux")
            .cpus(3)
            .ram_kib(4096)
            .mac(mac)
            .options(Some(vec!["-usb".into()]))
            .vnc(vnc)
            .accelerator(Some(Accelerator::Tcg))
            .console_limit(9);
        let expected = GuestConfig {
            directory: "/machines/linux".into(),
            user: VmUser::resolve(Some("nobody")).unwrap(),
            runtime_dir: "/run/1".into(),
            hypervisor: "/qemu".into(),
            name: "linux".into(),
            cpus: 3,
            ram_kib: 4096,
            mac,
            options: Some(vec!["-usb".into()]),
            vnc,
            accelerator: Some(Accelerator::Tcg),
            console_limit: 9,
        };
        assert_eq!(changed, expected);
    }
}
