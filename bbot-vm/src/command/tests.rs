//! The command line, word by word.

use super::*;
use crate::config::VncAddress;
use crate::mac_address::MacAddress;
use crate::process::VmUser;

const WIRING: Wiring = Wiring { backend: Backend::Tap(5), qmp: 6, monitor: 7, console: 8 };

fn config(options: Option<&str>) -> GuestConfig {
    GuestConfig::new("/machines/linux", VmUser::resolve(Some("nobody")).unwrap(), "/run")
        .name("linux-public-1")
        .cpus(4)
        .ram_kib(1_048_576 + 1023)
        .mac(MacAddress::new([2, 0, 0, 0, 0, 7]))
        .options(options.map(|words| words.split(' ').map(str::to_owned).collect()))
        .vnc(VncAddress::new([127, 0, 0, 1].into(), 101))
}

fn words(config: &GuestConfig, accelerator: Accelerator) -> Vec<String> {
    arguments(config, accelerator, WIRING, Path::new("/run/b/monitor.sock"))
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect()
}

/// The values of `option` in the line that these machine options give.
fn values(options: &str, accelerator: Accelerator, option: &str) -> Vec<String> {
    let words = words(&config(Some(options)), accelerator);
    words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].clone()).collect()
}

#[test]
fn whole_line_without_options() {
    let expected = "\
        -name guest=linux-public-1 \
        -global PIIX4_PM.disable_s3=1 -global PIIX4_PM.disable_s4=1 \
        -machine pc,hpet=off,accel=kvm:tcg -cpu max \
        -m 1024M -smp 4 -rtc clock=host -boot c -no-reboot -nodefaults -no-user-config \
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
        -object secret,id=bbot-monitor,data=/run/b/monitor.sock \
        -vga std -display none -vnc 127.0.0.1:101 \
        -chardev socket,id=qmp,fd=6 -mon chardev=qmp,mode=control \
        -chardev socket,id=hmp,fd=7,server=on,wait=off -mon chardev=hmp,mode=readline \
        -chardev socket,id=con,fd=8 -serial chardev:con \
        -netdev tap,id=net0,fd=5 -drive if=none,id=disk0,file=disk.img,format=raw \
        -device virtio-scsi-pci,id=scsi -device scsi-hd,drive=disk0 \
        -device virtio-net-pci,netdev=net0,mac=02:00:00:00:00:07";
    assert_eq!(words(&config(None), Accelerator::Tcg).join(" "), expected);
}

#[test]
fn kvm_takes_the_host_processor_and_its_timer_policy() {
    let line = words(&config(None), Accelerator::Kvm).join(" ");
    let expected = " -cpu host -global kvm-pit.lost_tick_policy=discard ";
    assert!(line.contains(expected), "{line}");
    assert!(line.contains(" -machine pc,hpet=off,accel=kvm:tcg "), "{line}");
}

#[test]
fn options_replace_the_devices_and_keep_disk0_and_net0() {
    let line = words(&config(Some("-device x,netdev=net0 -usb")), Accelerator::Tcg).join(" ");
    let end = "-netdev tap,id=net0,fd=5 -drive if=none,id=disk0,file=disk.img,format=raw \
               -device x,netdev=net0,mac=02:00:00:00:00:07 -usb";
    assert!(line.ends_with(end), "{line}");
    assert!(!line.contains("virtio"), "{line}");
}

#[test]
fn machine_and_accelerator_are_the_options_choice() {
    use Accelerator::{Kvm, Tcg};
    for (options, machine, accel, with_kvm, with_tcg) in [
        ("-usb", "pc,hpet=off,accel=kvm:tcg", "", "host", "max"),
        ("-machine q35", "q35", "kvm tcg", "host", "max"),
        ("--machine q35", "", "kvm tcg", "host", "max"),
        ("-M q35", "", "kvm tcg", "host", "max"),
        ("-machine q35,accel=kvm:tcg", "q35,accel=kvm:tcg", "", "host", "max"),
        ("-machine q35,accel=tcg", "q35,accel=tcg", "", "max", "max"),
        ("-machine accel=tcg,type=q35", "accel=tcg,type=q35", "", "max", "max"),
        ("-accel tcg", "pc,hpet=off", "tcg", "max", "max"),
        (
            "-accel kvm,kernel-irqchip=split",
            "pc,hpet=off",
            "kvm,kernel-irqchip=split",
            "host",
            "max",
        ),
        ("-machine q35 -accel tcg -accel kvm", "q35", "tcg kvm", "host", "max"),
        ("-enable-kvm -machine q35", "q35", "", "host", "max"),
    ] {
        for (accelerator, cpu) in [(Kvm, with_kvm), (Tcg, with_tcg)] {
            let joined = |option| values(options, accelerator, option).join(" ");
            assert_eq!(joined("-machine"), machine, "{options}");
            assert_eq!(joined("-accel"), accel, "{options}");
            assert_eq!(joined("-cpu"), cpu, "{options} with {accelerator:?}");
        }
    }
}

#[test]
fn no_guest_can_sleep() {
    for (options, device) in [
        ("-usb", "PIIX4_PM"),
        ("-machine pc", "PIIX4_PM"),
        ("-M pc-i440fx-7.2,hpet=off", "PIIX4_PM"),
        ("-machine accel=tcg", "PIIX4_PM"),
        ("-machine q35", "ICH9-LPC"),
        ("--machine accel=tcg,type=q35", "ICH9-LPC"),
        ("-machine pc-q35-7.2", "ICH9-LPC"),
        ("-machine pc -machine q35", "ICH9-LPC"),
        ("-machine microvm", ""),
        ("-machine isapc", ""),
    ] {
        let globals = values(options, Accelerator::Tcg, "-global");
        let expected = ["s3", "s4"].map(|state| format!("{device}.disable_{state}=1"));
        let expected = if device.is_empty() { &[] } else { &expected[..] };
        assert_eq!(globals, expected, "{options}");
    }
}

#[test]
fn commas_are_doubled_and_words_stay_words() {
    let mut config = config(Some("-smbios type=1,manufacturer=a b"));
    config.options = Some(vec!["-smbios".into(), "type=1,serial=a b$(c)".into()]);
    config.name = "a,b".into();
    let words = words(&config, Accelerator::Tcg);
    assert_eq!(words[..2], ["-name", "guest=a,,b"]);
    assert_eq!(words[words.len() - 2..], ["-smbios", "type=1,serial=a b$(c)"]);
}

#[test]
fn without_a_tap_nothing_refers_to_one() {
    let line = |backend| {
        let wiring = Wiring { backend, ..WIRING };
        let line = arguments(&config(None), Accelerator::Tcg, wiring, Path::new("/run/m"));
        line.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let end = "-drive if=none,id=disk0,file=disk.img,format=raw -device virtio-scsi-pci,id=scsi \
               -device scsi-hd,drive=disk0";
    let interface = "-device virtio-net-pci,netdev=net0,mac=02:00:00:00:00:07";
    let user = line(Backend::User);
    assert!(user.ends_with(&format!("-netdev user,id=net0 {end} {interface}")), "{user}");
    let none = line(Backend::None);
    assert!(none.ends_with(end) && !none.contains("net0"), "{none}");
}
