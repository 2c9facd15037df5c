//! A guest's way to the world: its tap on the host's bridge, and its way to our TFTP server.

mod tables;
mod tap;

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::Error;
use crate::mac;
use crate::sys::{INTERFACE_NAME_MAX, InterfaceSocket};
use tables::{Route, Tables};

pub(crate) use tables::Table;
pub(crate) use tap::remove_left as remove_left_tap;

/// The marks of redirected packets: this, plus the instance's offset.
const MARK_BASE: u32 = 0xbb00_0000;

/// Where a guest is connected, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The host's bridge, which has an IPv4 address.
    pub bridge: String,
    /// The instance's number on this host: the tap is `tap<offset>`.
    pub offset: u16,
    /// The instance's name on this host, `<toolchain>-<instance>`.
    pub instance: String,
    /// The UDP port at the bridge's address where the instance's TFTP server listens.
    pub tftp_port: u16,
}

impl NetworkConfig {
    /// Returns the name of the guest's tap.
    pub fn tap(&self) -> String {
        format!("tap{}", self.offset)
    }

    /// Returns the mark that the guest's TFTP packets bear within the host.
    pub fn mark(&self) -> u32 {
        MARK_BASE + u32::from(self.offset)
    }

    pub(crate) fn tables(&self) -> Result<Tables, Error> {
        Tables::of_instance(&self.instance)
    }

    fn check(&self) -> Result<(), Error> {
        check_interface_name(&self.bridge)?;
        if self.tftp_port == 0 {
            let value = "0".to_owned();
            return Err(Error::Config { what: "TFTP port", value, reason: "is no port" });
        }
        self.tables().map(drop)
    }
}

/// A tap on the bridge, and the rules that lead its TFTP packets to the instance's server.
///
/// A guest sends them to 196.254.111.222, port 69. They reach the server whether the bridge is the
/// guest's gateway or another box on the bridge is, and nothing else reaches the server: no other
/// guest, and nobody on the bridge. All of it is gone when this is dropped.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    bridge_address: Ipv4Addr,
    tables: Tables,
    tap: Option<OwnedFd>,
}

impl Network {
    /// Makes the tap and the rules.
    ///
    /// # Errors
    ///
    /// If the bridge is missing or has no IPv4 address, if the tap's name is taken, or if the
    /// kernel or `nft` refuses a step; then nothing is left of the steps before.
    pub fn set_up(config: &NetworkConfig) -> Result<Network, Error> {
        config.check()?;
        let socket = open_socket(&config.bridge)?;
        let bridge_address = address(&socket, &config.bridge)?;
        let bridge_mac = settle_mac(&socket, &config.bridge)?;
        let tap = tap::make(&socket, config)?;
        let mut tables = config.tables()?;
        tables.make(&Route {
            interface: &config.tap(),
            mark: config.mark(),
            server: (bridge_address, config.tftp_port),
            bridge_mac,
        })?;
        Ok(Network { config: config.clone(), bridge_address, tables, tap: Some(tap) })
    }

    /// Returns the bridge's IPv4 address, where the TFTP server is to listen.
    pub fn bridge_address(&self) -> Ipv4Addr {
        self.bridge_address
    }

    /// Returns what this was made from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Removes the rules and the tap. The guest must be gone: it holds the tap, too.
    ///
    /// # Errors
    ///
    /// If `nft` refuses to delete the tables, or if the tap is still there.
    pub fn tear_down(mut self) -> Result<(), Error> {
        self.undo()
    }

    pub(crate) fn tap(&self) -> BorrowedFd<'_> {
        self.tap.as_ref().expect("the tap is closed only when the network is torn down").as_fd()
    }

    fn undo(&mut self) -> Result<(), Error> {
        let Some(tap) = self.tap.take() else { return Ok(()) };
        let deleted = self.tables.delete();
        let closed = tap::close(tap, &self.config.tap());
        deleted.and(closed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            log::debug!("{error}");
        }
    }
}

/// Returns the IPv4 address of `bridge`.
///
/// # Errors
///
/// If there is no such interface, or if it has no IPv4 address.
pub fn bridge_address(bridge: &str) -> Result<Ipv4Addr, Error> {
    check_interface_name(bridge)?;
    address(&open_socket(bridge)?, bridge)
}

/// Makes the MAC address that the bridge has its own, and returns it.
///
/// A bridge whose address nobody has set takes the lowest of its ports', anew with each port that
/// comes or goes. The rules of other instances and the guests' ARP caches would name an address
/// that the bridge no longer has.
fn settle_mac(socket: &InterfaceSocket, bridge: &str) -> Result<[u8; 6], Error> {
    let read = socket.mac(bridge).map_err(interface_error("read the MAC address of", bridge))?;
    // A bridge that lost its last port has none.
    let mac = if read == [0; 6] { mac::random() } else { read };
    socket.set_mac(bridge, mac).map_err(interface_error("settle the MAC address of", bridge))?;
    Ok(mac)
}

fn open_socket(interface: &str) -> Result<InterfaceSocket, Error> {
    InterfaceSocket::open().map_err(interface_error("open a socket for", interface))
}

fn address(socket: &InterfaceSocket, bridge: &str) -> Result<Ipv4Addr, Error> {
    let read = socket.address(bridge);
    read.map(Ipv4Addr::from).map_err(interface_error("read the IPv4 address of", bridge))
}

/// The kernel's own rule for names, and no character that `nft` or a terminal would take amiss.
fn check_interface_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_graphic() && !"/:\"".contains(c);
    if name.is_empty() || name.len() > INTERFACE_NAME_MAX || !name.chars().all(good) {
        let reason = "is not the name of a network interface";
        return Err(Error::Config { what: "bridge", value: name.to_owned(), reason });
    }
    Ok(())
}

fn interface_error(operation: &'static str, name: &str) -> impl Fn(io::Error) -> Error {
    let interface = name.to_owned();
    move |source| Error::Interface { operation, interface: interface.clone(), source }
}

#[cfg(test)]
mod tests;
