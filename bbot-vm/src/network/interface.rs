//! The state of a network interface.

use std::io;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::SockProtocol;

use super::netlink::{Attributes, Message, NetlinkSocket, attribute};
use super::sys::INTERFACE_NAME_MAX;
use crate::error::Error;
use crate::mac_address::MacAddress;

/// From `linux/rtnetlink.h`.
pub(super) const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
/// From `linux/if_link.h`: attributes of an interface.
const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
/// Attributes within `IFLA_LINKINFO`.
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
/// Attributes within `IFLA_INFO_DATA` of a bridge.
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
/// The length of `struct ifinfomsg`.
pub(super) const INTERFACE_HEADER: usize = 16;
/// The unit of a bridge's times (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// The state of a network interface, as the kernel reports it (rtnetlink(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its number, which no other interface of the network namespace has had.
    pub index: u32,
    /// Whether it is up (`IFF_UP`).
    pub is_up: bool,
    /// Its MAC address, if it has one of 6 bytes.
    pub mac: Option<MacAddress>,
    /// The number of the bridge that it is a port of, or of another interface that it belongs to.
    pub master: Option<u32>,
    /// The kind of a virtual interface, such as `bridge` or `tun`.
    pub kind: Option<String>,
    /// How long a port that is added to this bridge forwards nothing, twice: while it listens and
    /// while it learns. `None` if it is no bridge, or does without the spanning tree protocol.
    pub forward_delay: Option<Duration>,
}

impl Interface {
    /// Returns the state of the interface `name` of the calling thread's network namespace; `None`
    /// if there is none of that name.
    ///
    /// # Errors
    ///
    /// If the name is not that of an interface, or if the kernel cannot be asked.
    pub fn find(name: &str) -> Result<Option<Interface>, Error> {
        check_interface_name(name)?;
        let failed = Error::interface("read the state of", name);
        let socket = NetlinkSocket::open(SockProtocol::NetlinkRoute).map_err(&failed)?;
        let name = [name.as_bytes(), &[0]].concat();
        let request = [&[0; INTERFACE_HEADER][..], &attribute(IFLA_IFNAME, &name)].concat();
        match socket.request(RTM_GETLINK, &request) {
            Ok(answer) => Ok(answer.iter().find_map(Interface::parse)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Returns whether it is a bridge.
    pub fn is_bridge(&self) -> bool {
        self.kind.as_deref() == Some("bridge")
    }

    /// Makes it a port of the bridge with the number `bridge`, instead of another one, and brings
    /// it up.
    pub(super) fn attach(&self, bridge: u32) -> io::Result<()> {
        let socket = NetlinkSocket::open(SockProtocol::NetlinkRoute)?;
        let up = u32::try_from(libc::IFF_UP).expect("IFF_UP is bit 0");
        let mut request = vec![0; 4];
        for field in [self.index, up, up] {
            request.extend(field.to_ne_bytes());
        }
        request.extend(attribute(IFLA_MASTER, &bridge.to_ne_bytes()));
        socket.request(RTM_SETLINK, &request).map(drop)
    }

    fn parse(message: &Message) -> Option<Interface> {
        if message.kind != RTM_NEWLINK {
            return None;
        }
        let attributes = message.attributes(INTERFACE_HEADER);
        let info = attributes.nested(IFLA_LINKINFO);
        let kind = info.text(IFLA_INFO_KIND).map(str::to_owned);
        let is_bridge = kind.as_deref() == Some("bridge");
        let up = u32::try_from(libc::IFF_UP).expect("IFF_UP is bit 0");
        Some(Interface {
            index: index_of(message)?,
            is_up: field(message, 8)? & up != 0,
            mac: attributes.get(IFLA_ADDRESS).and_then(mac),
            master: attributes.number(IFLA_MASTER),
            forward_delay: is_bridge.then(|| forward_delay(&info.nested(IFLA_INFO_DATA))).flatten(),
            kind,
        })
    }
}

/// Returns the number of the interface that a message about interfaces is about.
pub(super) fn index_of(message: &Message) -> Option<u32> {
    field(message, 4)
}

fn field(message: &Message, offset: usize) -> Option<u32> {
    message.payload.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn mac(bytes: &[u8]) -> Option<MacAddress> {
    bytes.try_into().ok().map(MacAddress::new)
}

fn forward_delay(bridge: &Attributes<'_>) -> Option<Duration> {
    let ticks = bridge.number(IFLA_BR_FORWARD_DELAY)?;
    let has_stp = bridge.number(IFLA_BR_STP_STATE)? != 0;
    (has_stp && ticks != 0).then(|| TICK * ticks)
}

/// The kernel's own rule for names, without the characters that `nft` or a terminal would
/// misinterpret.
pub(super) fn check_interface_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_graphic() && !"/:\"".contains(c);
    if name.is_empty() || name.len() > INTERFACE_NAME_MAX || !name.chars().all(good) {
        let reason = "is not the name of a network interface";
        return Err(Error::Config { what: "bridge", value: name.to_owned(), reason });
    }
    Ok(())
}
