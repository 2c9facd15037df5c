//! A guest's network: what its interface is connected to, and its path to a TFTP server of the
//! host (`docs/network.md`).

mod attachment;
mod bridge;
mod config;
mod interface;
mod netlink;
mod nft;
mod restore;
mod sys;
mod table_content;
mod tables;
mod tap;
mod watch;

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::Error;
use crate::mac_address::MacAddress;
use tables::{Route, Tables};

pub use attachment::NetworkAttachment;
pub use bridge::{bridge_address, usable_bridge};
pub use config::NetworkConfig;
pub use interface::Interface;
pub use restore::Restored;
pub(crate) use tables::Table;
pub use tap::TapUse;
pub(crate) use tap::remove_left as remove_left_tap;
pub use watch::NetworkWatch;

/// A tap on the bridge, and the rules that lead its TFTP packets to the instance's server.
///
/// A guest sends them to 196.254.111.222, port 69. They reach the server whether the bridge or
/// another host on it is the guest's gateway, and nothing else reaches the server: no other guest,
/// and no other host on the bridge. Tap and rules are removed when this is dropped.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    bridge_address: Ipv4Addr,
    bridge_mac: MacAddress,
    tables: Tables,
    tap: Option<OwnedFd>,
    tap_index: u32,
}

impl Network {
    /// Makes the tap and the rules.
    ///
    /// # Errors
    ///
    /// If the bridge is missing or down or has no IPv4 address, if the tap's name is in use, or if
    /// the kernel or `nft` refuses a step; then nothing is left of the steps before.
    pub fn set_up(config: &NetworkConfig) -> Result<Network, Error> {
        config.check()?;
        let (_, bridge_address) = usable_bridge(&config.bridge)?;
        let socket = bridge::open_socket(&config.bridge)?;
        let bridge_mac = bridge::settle_mac(&socket, &config.bridge)?;
        let tap = tap::make(&socket, config)?;
        let name = config.tap();
        let made = Interface::find(&name)?.ok_or(Error::TapGone { tap: name })?;
        let mut network = Network {
            config: config.clone(),
            bridge_address,
            bridge_mac,
            tables: config.tables()?,
            tap: Some(tap),
            tap_index: made.index,
        };
        network.make_tables()?;
        Ok(network)
    }

    /// Returns the bridge's IPv4 address, where the TFTP server is to listen.
    pub fn bridge_address(&self) -> Ipv4Addr {
        self.bridge_address
    }

    /// Returns what this was made from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Removes the rules and the tap. The guest must have ended: it holds the tap, too.
    ///
    /// # Errors
    ///
    /// If `nft` refuses to delete the tables, or if the tap is still there.
    pub fn tear_down(mut self) -> Result<(), Error> {
        self.undo()
    }

    fn make_tables(&mut self) -> Result<(), Error> {
        self.tables.make(&Route {
            interface: &self.config.tap(),
            mark: self.config.mark(),
            server: (self.bridge_address, self.config.tftp_port),
            bridge_mac: self.bridge_mac,
        })
    }

    fn tap(&self) -> BorrowedFd<'_> {
        self.tap.as_ref().expect("the tap is closed only when the network is torn down").as_fd()
    }

    fn undo(&mut self) -> Result<(), Error> {
        let Some(tap) = self.tap.take() else { return Ok(()) };
        let deleted = self.tables.delete();
        let closed = tap::close(tap, &self.config.tap());
        deleted.and(closed)
    }
}

impl<'a> From<&'a Network> for NetworkAttachment<'a> {
    fn from(network: &'a Network) -> NetworkAttachment<'a> {
        NetworkAttachment::Tap(network.tap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            log::debug!("{error}");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
