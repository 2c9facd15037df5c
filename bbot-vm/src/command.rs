//! QEMU's command line: a pure function of the configuration.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::accelerator::Accelerator;
use crate::config::{DISK_IMAGE, GuestConfig};

/// Denies the guest's process what it has no use for once it runs: obsolete system calls, other
/// users, other programs, and its own scheduling.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Before the path of the operator's monitor, in the argument that marks a process as ours.
///
/// The monitor itself is inherited as a file descriptor, so that nothing else on the command line
/// names it. A secret object that nothing refers to is the option that QEMU accepts and does
/// nothing with; no device shows it to the guest.
const MARK: &str = "secret,id=bbot-monitor,data=";

/// The file descriptors that the program inherits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring {
    /// The tap.
    pub(crate) tap: RawFd,
    /// One end of the machine protocol's socket pair.
    pub(crate) qmp: RawFd,
    /// The listening socket of the operator's monitor.
    pub(crate) monitor: RawFd,
    /// One end of the serial console's socket pair.
    pub(crate) console: RawFd,
}

/// Returns the arguments, without the program itself.
pub(crate) fn arguments(
    config: &GuestConfig,
    accelerator: Accelerator,
    wiring: Wiring,
    monitor_path: &Path,
) -> Vec<OsString> {
    let mut line = Line::default();
    line.pair("-name", format!("guest={}", escaped(&config.name)));
    machine(&mut line, Options(config.options.as_deref().unwrap_or_default()), accelerator);
    line.pair("-m", format!("{}M", config.ram_kib / 1024));
    line.pair("-smp", config.cpus.to_string());
    line.pair("-rtc", "clock=host").pair("-boot", "c");
    line.word("-no-reboot").word("-nodefaults").word("-no-user-config");
    line.pair("-sandbox", SANDBOX);
    line.pair("-object", mark(monitor_path));
    line.pair("-vga", "std").pair("-display", "none").pair("-vnc", config.vnc.argument());
    line.pair("-chardev", format!("socket,id=qmp,fd={}", wiring.qmp));
    line.pair("-mon", "chardev=qmp,mode=control");
    line.pair("-chardev", format!("socket,id=hmp,fd={},server=on,wait=off", wiring.monitor));
    line.pair("-mon", "chardev=hmp,mode=readline");
    line.pair("-chardev", format!("socket,id=con,fd={}", wiring.console));
    line.pair("-serial", "chardev:con");
    line.pair("-netdev", format!("tap,id=net0,fd={}", wiring.tap));
    line.pair("-drive", format!("if=none,id=disk0,file={DISK_IMAGE},format=raw"));
    match &config.options {
        None => default_devices(&mut line, &config.mac),
        Some(words) => line.0.extend(with_mac(words, &config.mac).into_iter().map(OsString::from)),
    }
    line.0
}

/// Returns the monitor that a process's arguments are marked with, if they are marked by us.
pub(crate) fn marked_monitor<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> Option<PathBuf> {
    let mut previous: &[u8] = b"";
    for argument in arguments {
        if previous == b"-object"
            && let Some(path) = argument.strip_prefix(MARK.as_bytes())
        {
            return Some(OsString::from_vec(unescaped(path)).into());
        }
        previous = argument;
    }
    None
}

/// A command line that grows.
#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn word(&mut self, word: impl Into<OsString>) -> &mut Line {
        self.0.push(word.into());
        self
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) -> &mut Line {
        self.word(option).word(value)
    }
}

/// Machine, accelerator and processor, as far as the options leave them to us.
fn machine(line: &mut Line, options: Options<'_>, accelerator: Accelerator) {
    let chosen = options.accelerator();
    match (options.values(&["machine", "M"]).next().is_some(), chosen.is_some()) {
        (false, false) => line.pair("-machine", "pc,hpet=off,accel=kvm:tcg"),
        // QEMU refuses `-accel` beside an `accel=`.
        (false, true) => line.pair("-machine", "pc,hpet=off"),
        (true, false) => line.pair("-accel", "kvm").pair("-accel", "tcg"),
        (true, true) => line,
    };
    let by_kvm = accelerator == Accelerator::Kvm && chosen.is_none_or(Chosen::is_kvm);
    // The processor `host` is an error without KVM.
    line.pair("-cpu", if by_kvm { "host" } else { "max" });
    if by_kvm {
        // Unused it would be a warning.
        line.pair("-global", "kvm-pit.lost_tick_policy=discard");
    }
}

/// The devices that images without `options` were installed on.
fn default_devices(line: &mut Line, mac: &str) {
    line.pair("-device", "virtio-scsi-pci,id=scsi");
    line.pair("-device", "scsi-hd,drive=disk0");
    line.pair("-device", format!("virtio-net-pci,netdev=net0,mac={mac}"));
}

/// Returns `words` with the MAC address where the guest's interface is defined: in place of each
/// `mac=?`, or else behind the `-device` that has `netdev=net0` and no `mac=`.
fn with_mac(words: &[String], mac: &str) -> Vec<String> {
    if words.iter().any(|word| word.split(',').any(is_open_mac)) {
        return words.iter().map(|word| fill_mac(word, mac)).collect();
    }
    let mut result = words.to_vec();
    for index in 1..result.len() {
        let value = &result[index];
        if option_name(&words[index - 1]) == Some("device")
            && value.split(',').any(|property| property == "netdev=net0")
            && !value.split(',').any(|property| property.starts_with("mac="))
        {
            result[index] = format!("{value},mac={mac}");
        }
    }
    result
}

fn is_open_mac(property: &str) -> bool {
    property == "mac=?"
}

fn fill_mac(word: &str, mac: &str) -> String {
    let filled = |property| {
        if is_open_mac(property) { format!("mac={mac}") } else { property.to_owned() }
    };
    word.split(',').map(filled).collect::<Vec<_>>().join(",")
}

/// The words of a machine's `options`.
#[derive(Clone, Copy)]
struct Options<'a>(&'a [String]);

/// What the options say about the accelerator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chosen {
    /// KVM, or KVM among others.
    Kvm,
    /// Anything else.
    Other,
}

impl Chosen {
    fn is_kvm(self) -> bool {
        self == Chosen::Kvm
    }

    fn of(value: &str) -> Chosen {
        let named = value.split([':', ',']).any(|name| name == "kvm");
        if named { Chosen::Kvm } else { Chosen::Other }
    }
}

impl<'a> Options<'a> {
    /// The values of the options called one of `names`.
    fn values(self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        let is_named =
            |pair: &&[String]| option_name(&pair[0]).is_some_and(|name| names.contains(&name));
        self.0.windows(2).filter(is_named).map(|pair| pair[1].as_str())
    }

    fn accelerator(self) -> Option<Chosen> {
        if self.0.iter().any(|word| option_name(word) == Some("enable-kvm")) {
            return Some(Chosen::Kvm);
        }
        let in_machine = self
            .values(&["machine", "M"])
            .flat_map(|value| value.split(','))
            .filter_map(|property| property.strip_prefix("accel="));
        let alone = self.values(&["accel"]).map(|value| value.trim_start_matches("accel="));
        in_machine.chain(alone).map(Chosen::of).reduce(
            |one, other| {
                if one.is_kvm() { one } else { other }
            },
        )
    }
}

/// Returns `device` for `-device` and `--device`, which mean the same to QEMU.
fn option_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix('-')?;
    Some(name.strip_prefix('-').unwrap_or(name))
}

/// Returns the argument that marks a process as ours.
fn mark(monitor_path: &Path) -> OsString {
    let mut mark = MARK.as_bytes().to_vec();
    for &byte in monitor_path.as_os_str().as_bytes() {
        mark.extend_from_slice(if byte == b',' { b",," } else { std::slice::from_ref(&byte) });
    }
    OsString::from_vec(mark)
}

/// Doubles the commas, which would end an option's value.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b',' {
            // The second of two.
            bytes.next_if_eq(&b',');
        }
        result.push(byte);
    }
    result
}

#[cfg(test)]
mod tests;
