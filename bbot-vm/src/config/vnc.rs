//! Where a guest's screen is shown.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The TCP port of VNC display 0 (RFC 6143, section 4).
const VNC_PORT: u16 = 5900;

/// Where a guest's screen is shown: an address of the host and a VNC display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VncAddress {
    /// The address of the host that QEMU listens at.
    pub address: IpAddr,
    /// The display. Its TCP port is 5900 plus this number.
    pub display: u16,
}

impl VncAddress {
    /// The last display that has a TCP port.
    pub(crate) const DISPLAY_MAX: u16 = u16::MAX - VNC_PORT;

    /// Returns the place of `display` at `address`.
    pub const fn new(address: IpAddr, display: u16) -> VncAddress {
        VncAddress { address, display }
    }

    /// Returns the address and TCP port that a viewer connects to.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, VNC_PORT.saturating_add(self.display))
    }

    /// Returns the value of QEMU's option `-vnc`: with the display in place of the port.
    pub(crate) fn argument(&self) -> String {
        match self.address {
            IpAddr::V4(address) => format!("{address}:{}", self.display),
            IpAddr::V6(address) => format!("[{address}]:{}", self.display),
        }
    }
}

/// Writes what a viewer connects to: `127.0.0.1:5901`.
impl fmt::Display for VncAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        for (address, argument, shown) in
            [("127.0.0.1", "127.0.0.1:7", "127.0.0.1:5907"), ("::1", "[::1]:7", "[::1]:5907")]
        {
            let vnc = VncAddress::new(address.parse().unwrap(), 7);
            assert_eq!((vnc.argument(), vnc.to_string()), (argument.into(), shown.into()));
        }
    }
}
