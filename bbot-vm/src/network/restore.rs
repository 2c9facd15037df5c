//! Puts a guest's network right while the guest runs.

use std::fmt;

use super::interface::Interface;
use super::{Network, bridge, tap};
use crate::error::{BridgeProblem, Error};

/// Something that [`Network::restore`] has put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Restored {
    /// The tap is a port of the bridge again.
    Port,
    /// The tap is up again.
    Up,
    /// The nft tables are as they were made.
    Tables,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Restored::Port => "the tap's place in the bridge",
            Restored::Up => "the tap",
            Restored::Tables => "the nft tables",
        })
    }
}

impl Network {
    /// Compares tap and nft tables with what was made, restores what differs, and returns what that
    /// was. What is restored is read back.
    ///
    /// The bridge is the operator's. One that was deleted and made anew will do, if it has the
    /// address that it had.
    ///
    /// # Errors
    ///
    /// If the guest cannot reach its TFTP server any more: [`Error::Bridge`], [`Error::TapGone`];
    /// or if what was restored does not stay or cannot be verified.
    pub fn restore(&mut self) -> Result<Vec<Restored>, Error> {
        let bridge = self.usable_bridge()?;
        let mut restored = self.restore_tap(&bridge)?;
        if self.restore_tables(&bridge)? {
            restored.push(Restored::Tables);
        }
        Ok(restored)
    }

    fn usable_bridge(&self) -> Result<Interface, Error> {
        let name = &self.config.bridge;
        let (bridge, address) = bridge::usable_bridge(name)?;
        if address == self.bridge_address {
            return Ok(bridge);
        }
        let problem = BridgeProblem::OtherAddress(address);
        Err(Error::Bridge { bridge: name.clone(), problem })
    }

    fn restore_tap(&self, bridge: &Interface) -> Result<Vec<Restored>, Error> {
        let found = self.own_tap()?;
        let mut restored = Vec::new();
        if found.master != Some(bridge.index) {
            restored.push(Restored::Port);
        }
        if !found.is_up {
            restored.push(Restored::Up);
        }
        if restored.is_empty() {
            return Ok(restored);
        }
        let tap = self.config.tap();
        found.attach(bridge.index).map_err(Error::interface("attach to its bridge", &tap))?;
        let now = self.own_tap()?;
        if now.master == Some(bridge.index) && now.is_up {
            return Ok(restored);
        }
        Err(Error::TapDetached { tap, bridge: self.config.bridge.clone() })
    }

    /// Returns the state of the tap, if it is still the one that was made.
    fn own_tap(&self) -> Result<Interface, Error> {
        let tap = self.config.tap();
        let found = Interface::find(&tap)?.filter(|found| found.index == self.tap_index);
        let own = found.filter(|found| tap::is_own(found, self.config.offset));
        own.ok_or(Error::TapGone { tap })
    }

    /// Makes the tables again if they are not intact, or name an address that the bridge no longer
    /// has.
    fn restore_tables(&mut self, bridge: &Interface) -> Result<bool, Error> {
        if bridge.mac == Some(self.bridge_mac) && self.tables.are_intact()? {
            return Ok(false);
        }
        let socket = bridge::open_socket(&self.config.bridge)?;
        self.bridge_mac = bridge::settle_mac(&socket, &self.config.bridge)?;
        self.make_tables()?;
        Ok(true)
    }
}
