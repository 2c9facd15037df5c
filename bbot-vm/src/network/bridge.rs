//! The host's bridge: its addresses, and its name.

use std::net::Ipv4Addr;

use nix::libc;

use super::interface::{Interface, check_interface_name};
use super::sys::InterfaceSocket;
use crate::error::{BridgeProblem, Error};
use crate::mac_address::MacAddress;

/// Returns the IPv4 address of `bridge`.
///
/// # Errors
///
/// If there is no such interface, or if it has no IPv4 address.
pub fn bridge_address(bridge: &str) -> Result<Ipv4Addr, Error> {
    check_interface_name(bridge)?;
    address(&open_socket(bridge)?, bridge)
}

/// Returns the state of `bridge` and its IPv4 address, if guests can be attached to it.
///
/// # Errors
///
/// [`Error::Bridge`] if there is no such bridge, or if it is down or has no IPv4 address; another
/// one if the name is not that of an interface, or if the kernel cannot be asked.
pub fn usable_bridge(bridge: &str) -> Result<(Interface, Ipv4Addr), Error> {
    let refused = |problem| Error::Bridge { bridge: bridge.to_owned(), problem };
    let found = Interface::find(bridge)?.ok_or_else(|| refused(BridgeProblem::Missing))?;
    if !found.is_bridge() {
        return Err(refused(BridgeProblem::OtherKind));
    }
    if !found.is_up {
        return Err(refused(BridgeProblem::Down));
    }
    match address(&open_socket(bridge)?, bridge) {
        Ok(address) => Ok((found, address)),
        Err(Error::Interface { source, .. })
            if source.raw_os_error() == Some(libc::EADDRNOTAVAIL) =>
        {
            Err(refused(BridgeProblem::NoAddress))
        }
        Err(error) => Err(error),
    }
}

pub(super) fn open_socket(interface: &str) -> Result<InterfaceSocket, Error> {
    InterfaceSocket::open().map_err(Error::interface("open a socket for", interface))
}

pub(super) fn address(socket: &InterfaceSocket, bridge: &str) -> Result<Ipv4Addr, Error> {
    socket.address(bridge).map_err(Error::interface("read the IPv4 address of", bridge))
}

/// Sets the MAC address of the bridge to the one that it has, and returns it.
///
/// A bridge whose address was never set takes the lowest of its ports' addresses, again with each
/// port that is added or removed. The rules of other instances and the guests' ARP caches would
/// name an address that the bridge no longer has.
pub(super) fn settle_mac(socket: &InterfaceSocket, bridge: &str) -> Result<MacAddress, Error> {
    let read = socket.mac(bridge).map_err(Error::interface("read the MAC address of", bridge))?;
    // A bridge whose last port was removed has none.
    let mac = if read.octets() == [0; 6] { MacAddress::random() } else { read };
    socket.set_mac(bridge, mac).map_err(Error::interface("settle the MAC address of", bridge))?;
    Ok(mac)
}
