//! The tap that a guest's interface is connected to.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::config::NetworkConfig;
use super::interface::Interface;
use super::sys::{self, InterfaceSocket, TapName};
use crate::error::Error;
use crate::mac_address::MacAddress;
use crate::process;

/// How long a closed tap may still exist. Each child process of ours has a copy of its file
/// descriptor until it executes its program.
const GONE_LIMIT: Duration = Duration::from_secs(2);
/// From linux/rtnetlink.h: the group of notifications about interfaces.
const RTMGRP_LINK: u32 = 1;

/// What the name of an instance's tap is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TapUse {
    /// There is no interface of that name.
    Free,
    /// There is a tap that a [`Network`](crate::Network) has made.
    Own,
    /// There is an interface that another program has made.
    Foreign,
}

impl NetworkConfig {
    /// Returns what the name of the tap is used for in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be asked.
    pub fn tap_use(&self) -> Result<TapUse, Error> {
        Ok(match Interface::find(&self.tap())? {
            None => TapUse::Free,
            Some(found) if is_own(&found, self.offset) => TapUse::Own,
            Some(_) => TapUse::Foreign,
        })
    }
}

/// Makes the tap, and makes it a port of the bridge.
pub(super) fn make(socket: &InterfaceSocket, config: &NetworkConfig) -> Result<OwnedFd, Error> {
    let name = config.tap();
    let tap = sys::open_tap(&name, TapName::New).map_err(Error::interface("create", &name))?;
    socket
        .set_mac(&name, own_mac(config.offset))
        .map_err(Error::interface("set the MAC address of", &name))?;
    socket
        .add_to_bridge(&config.bridge, &name)
        .map_err(Error::interface("add to its bridge", &name))?;
    socket.set_up(&name).map_err(Error::interface("bring up", &name))?;
    Ok(tap)
}

/// Closes the tap, and waits until it no longer exists.
pub(super) fn close(tap: OwnedFd, name: &str) -> Result<(), Error> {
    let changes = link_changes().map_err(Error::interface("watch", name))?;
    drop(tap);
    let deadline = Instant::now() + GONE_LIMIT;
    while is_there(name) {
        let left = deadline.saturating_duration_since(Instant::now());
        if !process::wait_readable(changes.as_fd(), left) {
            return Err(Error::interface("remove", name)(io::ErrorKind::ResourceBusy.into()));
        }
        // The name is looked up again whatever has changed, and if a notification was lost.
        recv(changes.as_raw_fd(), &mut [0; 4096], MsgFlags::MSG_DONTWAIT).ok();
    }
    Ok(())
}

/// Returns whether an interface that has the name of an instance's tap is one, by the MAC address
/// that [`make`] has given it.
pub(super) fn is_own(found: &Interface, offset: u16) -> bool {
    found.kind.as_deref() == Some("tun") && found.mac == Some(own_mac(offset))
}

/// Removes the tap of an instance that an earlier process has left. Returns whether there was one.
///
/// Another interface that has its name is left.
pub(crate) fn remove_left(config: &NetworkConfig) -> Result<bool, Error> {
    let name = &config.tap();
    match Interface::find(name)? {
        Some(found) if is_own(&found, config.offset) => {}
        _ => return Ok(false),
    }
    let failed = Error::interface("remove", name);
    let tap = sys::open_tap(name, TapName::Left).map_err(&failed)?;
    sys::make_tap_transient(&tap).map_err(&failed)?;
    close(tap, name)?;
    Ok(true)
}

pub(super) fn is_there(name: &str) -> bool {
    if_nametoindex(name).is_ok()
}

/// Returns the tap's own address, which no guest sees. It is high, so that a bridge that takes the
/// lowest of its ports' addresses does not take this one.
fn own_mac(offset: u16) -> MacAddress {
    let [high, low] = offset.to_be_bytes();
    MacAddress::new([0xfe, 0xbb, 0, 0, high, low])
}

/// Returns a socket that can be read when an interface was created, changed or removed.
fn link_changes() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let changes = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(changes.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK))?;
    Ok(changes)
}
