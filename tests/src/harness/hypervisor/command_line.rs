//! The part of QEMU's command line that the simulated hypervisor needs.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The devices that it simulates.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// The tap, the host's end of the guest's network interface.
    pub(super) tap: RawFd,
    /// The connected socket of QMP.
    pub(super) qmp: RawFd,
    /// The listening socket of the human monitor.
    pub(super) monitor: RawFd,
    /// The address of the VNC server.
    pub(super) vnc: SocketAddr,
    /// The serial console, if there is one.
    pub(super) console: Option<RawFd>,
    /// The guest's MAC address.
    pub(super) mac: [u8; 6],
    /// The disk image, relative to the working folder.
    pub(super) disk: PathBuf,
}

impl CommandLine {
    /// The socket of QMP, if the arguments have no disk: such a guest is to run and to be ended,
    /// and does nothing.
    pub(super) fn parse_diskless(arguments: &[String]) -> Option<RawFd> {
        let mut words = arguments.iter().map(String::as_str);
        let has_disk = words.any(|word| word == "-drive");
        let values = arguments.windows(2).filter(|pair| pair[0] == "-chardev");
        let mut values = values.map(|pair| pair[1].as_str());
        let qmp = values.find(|value| property(value, "id") == Some("qmp"))?;
        property(qmp, "fd")?.parse().ok().filter(|_| !has_disk)
    }

    /// Parses the arguments without the program name; ignores what is not simulated.
    pub(super) fn parse(arguments: &[String]) -> Result<CommandLine> {
        let values = |option: &str| {
            let pairs = arguments.windows(2).filter(move |pair| pair[0] == option);
            pairs.map(|pair| pair[1].as_str()).collect::<Vec<_>>()
        };
        let with_id = |option, id: &str| {
            values(option).into_iter().find(|value| property(value, "id") == Some(id))
        };
        let fd =
            |option, id| with_id(option, id).and_then(|value| property(value, "fd")?.parse().ok());
        let mac = values("-device").into_iter().find_map(|value| property(value, "mac"));
        let disk = with_id("-drive", "disk0").and_then(|value| property(value, "file"));
        Ok(CommandLine {
            tap: fd("-netdev", "net0").context("no inherited tap")?,
            qmp: fd("-chardev", "qmp").context("no inherited QMP socket")?,
            monitor: fd("-chardev", "hmp").context("no inherited human monitor")?,
            vnc: values("-vnc").first().and_then(|value| parse_vnc(value)).context("no VNC")?,
            console: fd("-chardev", "con"),
            mac: mac.and_then(parse_mac).context("no MAC address")?,
            disk: disk.context("no disk")?.into(),
        })
    }
}

/// The value of a property in `a=b,c=d`.
fn property<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// `<address>:<display>`: display 0 is port 5900.
fn parse_vnc(text: &str) -> Option<SocketAddr> {
    let (address, display) = text.rsplit_once(':')?;
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    Some((address, 5900_u16.checked_add(display.parse().ok()?)?).into())
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<_>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::CommandLine;

    #[test]
    fn devices_are_found() {
        let line = "-name guest=x -chardev socket,id=qmp,fd=4 -mon chardev=qmp,mode=control \
            -chardev socket,id=hmp,fd=5,server=on,wait=off -vnc [::1]:7 \
            -chardev socket,id=con,fd=6 -netdev tap,id=net0,fd=3 \
            -drive if=none,id=disk0,file=disk.img,format=raw \
            -device virtio-net-pci,netdev=net0,mac=02:00:0a:0b:0c:ff";
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let expected = CommandLine {
            tap: 3,
            qmp: 4,
            monitor: 5,
            vnc: "[::1]:5907".parse().unwrap(),
            console: Some(6),
            mac: [2, 0, 10, 11, 12, 255],
            disk: "disk.img".into(),
        };
        assert_eq!(CommandLine::parse(&words).unwrap(), expected);
        assert!(CommandLine::parse(&words[4..8]).is_err());
    }
}
