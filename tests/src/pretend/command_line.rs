//! What the pretend hypervisor understands of QEMU's command line.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The devices that it plays.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// The guest's network interface on the host.
    pub(super) tap: RawFd,
    /// The machine protocol's connection.
    pub(super) qmp: RawFd,
    /// The listening socket of the operator's monitor.
    pub(super) operator: RawFd,
    /// Where the screen is shown.
    pub(super) screen: SocketAddr,
    /// The serial console, if there is one.
    pub(super) console: Option<RawFd>,
    /// The guest's address on the network.
    pub(super) mac: [u8; 6],
    /// The disk image, relative to the working folder.
    pub(super) disk: PathBuf,
}

impl CommandLine {
    /// Reads the arguments, without the program itself; what it does not play it ignores.
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
            qmp: fd("-chardev", "qmp").context("no inherited machine protocol")?,
            operator: fd("-chardev", "hmp").context("no inherited operator's monitor")?,
            screen: values("-vnc")
                .first()
                .and_then(|value| parse_screen(value))
                .context("no VNC")?,
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
fn parse_screen(text: &str) -> Option<SocketAddr> {
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
            operator: 5,
            screen: "[::1]:5907".parse().unwrap(),
            console: Some(6),
            mac: [2, 0, 10, 11, 12, 255],
            disk: "disk.img".into(),
        };
        assert_eq!(CommandLine::parse(&words).unwrap(), expected);
        assert!(CommandLine::parse(&words[4..8]).is_err());
    }
}
