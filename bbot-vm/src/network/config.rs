//! Where a guest is connected, and which instance it belongs to.

use super::interface::check_interface_name;
use super::tables::Tables;
use crate::error::Error;

/// The marks of redirected packets: this, plus the instance's offset.
const MARK_BASE: u32 = 0xbb00_0000;

/// The bridge that a guest is connected to, and the instance whose TFTP server it reaches.
///
/// An *instance* is a process that runs one guest at a time, and one of several on a host. Its name
/// and its number, the offset, are in the names of what it owns outside its process.
///
/// ```
/// let config = bbot_vm::NetworkConfig::new("br1", 1, "public-1", 23401);
/// assert_eq!((config.tap().as_str(), config.mark()), ("tap1", 0xbb00_0001));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// The host's bridge, which has an IPv4 address.
    pub bridge: String,
    /// The instance's number on this host: the tap is `tap<offset>`.
    pub offset: u16,
    /// The instance's name on this host: the nft tables are `bbot-<instance>`.
    pub instance: String,
    /// The UDP port at the bridge's address where the instance's TFTP server listens.
    pub tftp_port: u16,
}

impl NetworkConfig {
    /// Returns the configuration of the instance with the number `offset` and the name `instance`.
    pub fn new(
        bridge: impl Into<String>,
        offset: u16,
        instance: impl Into<String>,
        tftp_port: u16,
    ) -> NetworkConfig {
        NetworkConfig { bridge: bridge.into(), offset, instance: instance.into(), tftp_port }
    }

    /// Returns the name of the guest's tap.
    pub fn tap(&self) -> String {
        format!("tap{}", self.offset)
    }

    /// Returns the mark (`meta mark`) that the guest's TFTP packets have within the host.
    pub fn mark(&self) -> u32 {
        MARK_BASE + u32::from(self.offset)
    }

    pub(crate) fn tables(&self) -> Result<Tables, Error> {
        Tables::of_instance(&self.instance)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        check_interface_name(&self.bridge)?;
        if self.tftp_port == 0 {
            let value = "0".to_owned();
            return Err(Error::Config { what: "TFTP port", value, reason: "is no port" });
        }
        self.tables().map(drop)
    }
}
