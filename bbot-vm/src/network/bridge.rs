//! The host's bridge: its addresses, and its name.

use std::net::Ipv4Addr;

use super::sys::{INTERFACE_NAME_MAX, InterfaceSocket};
use crate::error::Error;
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
