//! The command line, word by word.

use std::net::IpAddr;

use super::*;
use crate::{VmUser, VncAddress};

const MAC: &str = "02:00:00:00:00:07";
const WIRING: Wiring = Wiring { tap: 5, qmp: 6, monitor: 7, console: 8 };

fn config(options: Option<&str>) -> GuestConfig {
    GuestConfig {
        hypervisor: "qemu-system-x86_64".into(),
        directory: "/machines/linux".into(),
        name: "linux-public-1".into(),
        cpus: 4,
        ram_kib: 1_048_576 + 1023,
        mac: MAC.into(),
        options: options.map(|words| words.split(' ').map(str::to_owned).collect()),
        vnc: VncAddress { address: IpAddr::from([127, 0, 0, 1]), display: 101 },
        user: VmUser::resolve(Some("nobody")).unwrap(),
        runtime_dir: "/run".into(),
        console_limit: 0,
    }
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
fn mac_goes_where_the_guests_interface_is() {
    for (options, expected) in [
        // Each open one is filled, wherever it stands.
        ("-device e1000,netdev=net0,mac=?", "-device e1000,netdev=net0,mac=M"),
        ("-device e1000,mac=?,netdev=net0", "-device e1000,mac=M,netdev=net0"),
        ("-nic x,mac=? -device y,mac=?", "-nic x,mac=M -device y,mac=M"),
        // With an open one there, nothing is added elsewhere.
        (
            "-device a,netdev=net1,mac=? -device b,netdev=net0",
            "-device a,netdev=net1,mac=M -device b,netdev=net0",
        ),
        // Without one, it is added to the interface.
        ("-device e1000,netdev=net0", "-device e1000,netdev=net0,mac=M"),
        ("--device netdev=net0,driver=e1000", "--device netdev=net0,driver=e1000,mac=M"),
        ("-device e1000,netdev=net0,id=n -usb", "-device e1000,netdev=net0,id=n,mac=M -usb"),
        // What the operator wrote stands.
        (
            "-device e1000,netdev=net0,mac=52:54:00:00:00:01",
            "-device e1000,netdev=net0,mac=52:54:00:00:00:01",
        ),
        // Not the guest's interface, or not a device.
        ("-device e1000,netdev=net01", "-device e1000,netdev=net01"),
        ("-device e1000,xnetdev=net0", "-device e1000,xnetdev=net0"),
        ("-set e1000,netdev=net0", "-set e1000,netdev=net0"),
        ("netdev=net0", "netdev=net0"),
        ("-device", "-device"),
        // Not quite open.
        ("-device e1000,xmac=?", "-device e1000,xmac=?"),
        ("-device e1000,mac=??", "-device e1000,mac=??"),
    ] {
        let given: Vec<_> = options.split(' ').map(str::to_owned).collect();
        assert_eq!(with_mac(&given, "M").join(" "), expected, "{options}");
    }
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
fn commas_are_doubled_and_words_stay_words() {
    let mut config = config(Some("-smbios type=1,manufacturer=a b"));
    config.options = Some(vec!["-smbios".into(), "type=1,serial=a b$(c)".into()]);
    config.name = "a,b".into();
    let words = words(&config, Accelerator::Tcg);
    assert_eq!(words[..2], ["-name", "guest=a,,b"]);
    assert_eq!(words[words.len() - 2..], ["-smbios", "type=1,serial=a b$(c)"]);
}

#[test]
fn vnc_address_of_both_families() {
    for (address, argument, shown) in
        [("127.0.0.1", "127.0.0.1:7", "127.0.0.1:5907"), ("::1", "[::1]:7", "[::1]:5907")]
    {
        let vnc = VncAddress { address: address.parse().unwrap(), display: 7 };
        assert_eq!((vnc.argument(), vnc.to_string()), (argument.into(), shown.into()));
    }
}

/// W3: a process is ours if its line says so, word for word.
#[test]
fn mark_is_found_in_a_process_line() {
    for path in ["/run/public-1/monitor.sock", "/r/a,b,,c/monitor.sock", "/r/,", "/r/\u{e4} x"] {
        let line = arguments(&config(None), Accelerator::Tcg, WIRING, Path::new(path));
        let line = line.iter().map(|word| word.as_bytes());
        assert_eq!(marked_monitor(line), Some(PathBuf::from(path)));
    }
    for line in [
        "qemu -object secret,id=other,data=/run/public-1/monitor.sock",
        "grep secret,id=bbot-monitor,data=/run/public-1/monitor.sock",
        "qemu -device secret,id=bbot-monitor,data=/run/public-1/monitor.sock",
        "vi /run/public-1/monitor.sock",
        "qemu -object",
        "",
    ] {
        assert_eq!(marked_monitor(line.split(' ').map(str::as_bytes)), None, "{line}");
    }
}

#[test]
fn unfit_values_are_refused() {
    fn refused(change: impl FnOnce(&mut GuestConfig)) -> String {
        let mut config = config(None);
        config.check().unwrap();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }
    assert_eq!(
        refused(|c| c.name = "a\0b".into()),
        r#"guest name "a\0b" is empty or has a control character"#
    );
    assert_eq!(refused(|c| c.name.clear()), r#"guest name "" is empty or has a control character"#);
    assert_eq!(
        refused(|c| c.options = Some(vec!["-usb\n".into()])),
        r#"guest option "-usb\n" is empty or has a control character"#
    );
    assert_eq!(
        refused(|c| c.mac = "02:00".into()),
        r#"MAC address "02:00" is not six pairs of hexadecimal digits"#
    );
    assert_eq!(refused(|c| c.cpus = 0), r#"number of processors "0" is less than 1"#);
    assert_eq!(refused(|c| c.ram_kib = 1023), r#"memory in KiB "1023" is less than 1 MiB"#);
    assert_eq!(refused(|c| c.vnc.display = 59636), r#"VNC display "59636" has no TCP port"#);
}
