//! QEMU's command line: a pure function of the configuration (`docs/guest.md`).

mod mac;
mod mark;
mod options;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

use crate::config::GuestConfig;
use crate::process::{Accelerator, DISK_IMAGE};
use options::{Chosen, Options};

pub(crate) use mark::marked_monitor;

/// Denies the guest's process what it does not use once it runs: obsolete system calls, other
/// users, other programs, and its own scheduling.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// The file descriptors that the program inherits, by their numbers there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring {
    /// What the guest's interface is connected to.
    pub(crate) backend: Backend,
    /// One end of the machine protocol's socket pair.
    pub(crate) qmp: RawFd,
    /// The listening socket of the operator's monitor.
    pub(crate) monitor: RawFd,
    /// One end of the serial console's socket pair.
    pub(crate) console: RawFd,
}

/// What the guest's interface is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// There is no interface.
    None,
    /// QEMU's user-mode network.
    User,
    /// A tap, by its file descriptor.
    Tap(RawFd),
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
    machine(&mut line, config, accelerator);
    line.pair("-m", format!("{}M", config.ram_kib / 1024));
    line.pair("-smp", config.cpus.to_string());
    line.pair("-rtc", "clock=host").pair("-boot", "c");
    line.word("-no-reboot").word("-nodefaults").word("-no-user-config");
    line.pair("-sandbox", SANDBOX);
    line.pair("-object", mark::mark(monitor_path));
    line.pair("-vga", "std").pair("-display", "none").pair("-vnc", config.vnc.argument());
    line.pair("-chardev", format!("socket,id=qmp,fd={}", wiring.qmp));
    line.pair("-mon", "chardev=qmp,mode=control");
    line.pair("-chardev", format!("socket,id=hmp,fd={},server=on,wait=off", wiring.monitor));
    line.pair("-mon", "chardev=hmp,mode=readline");
    line.pair("-chardev", format!("socket,id=con,fd={}", wiring.console));
    line.pair("-serial", "chardev:con");
    match wiring.backend {
        Backend::None => {}
        Backend::User => drop(line.pair("-netdev", "user,id=net0")),
        Backend::Tap(fd) => drop(line.pair("-netdev", format!("tap,id=net0,fd={fd}"))),
    }
    line.pair("-drive", format!("if=none,id=disk0,file={DISK_IMAGE},format=raw"));
    match &config.options {
        None => default_devices(&mut line, config, wiring.backend),
        Some(words) => {
            let words = mac::with_mac(words, config.mac);
            line.0.extend(words.into_iter().map(OsString::from));
        }
    }
    line.0
}

/// Returns the arguments of a guest without disk, network and screen, to find out whether the
/// program can use `accelerator`; `qmp` is the inherited file descriptor of its monitor, and the
/// mark contains `path`.
pub(crate) fn probe_arguments(accelerator: Accelerator, qmp: RawFd, path: &Path) -> Vec<OsString> {
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg", "max"),
    };
    let mut line = Line::default();
    line.pair("-name", "guest=probe").pair("-machine", format!("pc,hpet=off,accel={accel}"));
    line.pair("-cpu", cpu).pair("-m", "16M");
    line.word("-nodefaults").word("-no-user-config");
    line.pair("-sandbox", SANDBOX).pair("-object", mark::mark(path)).pair("-display", "none");
    line.pair("-chardev", format!("socket,id=qmp,fd={qmp}"));
    line.pair("-mon", "chardev=qmp,mode=control");
    line.0
}

/// A command line to which words are appended.
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

/// Appends machine, accelerator and processor, as far as the options do not choose them.
fn machine(line: &mut Line, config: &GuestConfig, accelerator: Accelerator) {
    let options = Options::new(config.options.as_deref().unwrap_or_default());
    sleepless(line, options);
    let chosen = options.accelerator();
    // QEMU does not fall back to TCG if KVM fails late: KVM that is known to fail is not tried.
    let tries_kvm = config.accelerator != Some(Accelerator::Tcg);
    match (options.values(&["machine", "M"]).next().is_some(), chosen.is_some()) {
        (false, false) if tries_kvm => line.pair("-machine", "pc,hpet=off,accel=kvm:tcg"),
        (false, false) => line.pair("-machine", "pc,hpet=off,accel=tcg"),
        // QEMU refuses `-accel` beside an `accel=`.
        (false, true) => line.pair("-machine", "pc,hpet=off"),
        (true, false) if tries_kvm => line.pair("-accel", "kvm").pair("-accel", "tcg"),
        (true, false) => line.pair("-accel", "tcg"),
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

/// Turns the sleep states S3 and S4 of ACPI off: a guest that sleeps is woken by nothing.
///
/// A machine whose power management is not known here is left as it is, because QEMU warns of a
/// property of a device that the machine does not have.
fn sleepless(line: &mut Line, options: Options<'_>) {
    let kind = options.machine_type().unwrap_or("pc");
    let device = match kind {
        "q35" => "ICH9-LPC",
        "pc" => "PIIX4_PM",
        kind if kind.starts_with("pc-q35-") => "ICH9-LPC",
        kind if kind.starts_with("pc-i440fx-") => "PIIX4_PM",
        _ => return,
    };
    for state in ["s3", "s4"] {
        line.pair("-global", format!("{device}.disable_{state}=1"));
    }
}

/// Appends the devices of a guest without `options`: the ones that its image was installed on, so
/// that it boots.
fn default_devices(line: &mut Line, config: &GuestConfig, backend: Backend) {
    line.pair("-device", "virtio-scsi-pci,id=scsi");
    line.pair("-device", "scsi-hd,drive=disk0");
    if backend != Backend::None {
        line.pair("-device", format!("virtio-net-pci,netdev=net0,mac={}", config.mac));
    }
}

/// Doubles the commas, which would end an option's value.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests;
