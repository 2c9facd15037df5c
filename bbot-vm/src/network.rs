//! A guest's network: what its interface is connected to, and its path to a TFTP server of the
//! host (`docs/network.md`).

mod attachment;
mod bridge;
mod config;
mod nft;
mod sys;
mod tables;
mod tap;

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::Error;
use tables::{Route, Tables};

pub use attachment::NetworkAttachment;
pub use bridge::bridge_address;
pub use config::NetworkConfig;
pub(crate) use tables::Table;
pub(crate) use tap::remove_left as remove_left_tap;

/// A tap on the bridge, and the rules that lead its TFTP packets to the instance's server.
///
/// A guest sends them to 196.254.111.222, port 69. They reach the server whether the bridge or
/// another host on it is the guest's gateway, and nothing else reaches the server: no other guest,
/// and no other host on the bridge. Tap and rules are removed when this is dropped.
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
    /// If the bridge is missing or has no IPv4 address, if the tap's name is in use, or if the
    /// kernel or `nft` refuses a step; then nothing is left of the steps before.
    pub fn set_up(config: &NetworkConfig) -> Result<Network, Error> {
        config.check()?;
        let socket = bridge::open_socket(&config.bridge)?;
        let bridge_address = bridge::address(&socket, &config.bridge)?;
        let bridge_mac = bridge::settle_mac(&socket, &config.bridge)?;
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

    /// Removes the rules and the tap. The guest must have ended: it holds the tap, too.
    ///
    /// # Errors
    ///
    /// If `nft` refuses to delete the tables, or if the tap is still there.
    pub fn tear_down(mut self) -> Result<(), Error> {
        self.undo()
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
