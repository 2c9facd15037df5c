//! The tap that a guest's interface is behind.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::{NetworkConfig, interface_error};
use crate::sys::{self, InterfaceSocket, TapName};
use crate::{Error, process};

/// How long a tap that was closed may still be there. Until it executes its program, each child
/// of ours has a copy of it.
const GONE_LIMIT: Duration = Duration::from_secs(2);
/// From linux/rtnetlink.h: tell about interfaces that come and go.
const RTMGRP_LINK: u32 = 1;

/// Makes the tap, and plugs it into the bridge.
pub(super) fn make(socket: &InterfaceSocket, config: &NetworkConfig) -> Result<OwnedFd, Error> {
    let name = config.tap();
    let tap = sys::open_tap(&name, TapName::New).map_err(interface_error("create", &name))?;
    socket
        .set_mac(&name, own_mac(config.offset))
        .map_err(interface_error("set the MAC address of", &name))?;
    socket
        .add_to_bridge(&config.bridge, &name)
        .map_err(interface_error("add to its bridge", &name))?;
    socket.set_up(&name).map_err(interface_error("bring up", &name))?;
    Ok(tap)
}

/// Closes the tap, and waits until it is gone.
pub(super) fn close(tap: OwnedFd, name: &str) -> Result<(), Error> {
    let changes = link_changes().map_err(interface_error("watch", name))?;
    drop(tap);
    let deadline = Instant::now() + GONE_LIMIT;
    while is_there(name) {
        let left = deadline.saturating_duration_since(Instant::now());
        if !process::wait_readable(changes.as_fd(), left) {
            return Err(interface_error("remove", name)(io::ErrorKind::ResourceBusy.into()));
        }
        // Whatever changed, the name is looked up again; a missed change is one, too.
        recv(changes.as_raw_fd(), &mut [0; 4096], MsgFlags::MSG_DONTWAIT).ok();
    }
    Ok(())
}

/// Removes a tap that outlived its process. Returns whether there was one.
pub(crate) fn remove_left(name: &str) -> Result<bool, Error> {
    if !is_there(name) {
        return Ok(false);
    }
    let failed = interface_error("remove", name);
    let tap = sys::open_tap(name, TapName::Left).map_err(&failed)?;
    sys::make_tap_transient(&tap).map_err(&failed)?;
    close(tap, name)?;
    Ok(true)
}

pub(super) fn is_there(name: &str) -> bool {
    if_nametoindex(name).is_ok()
}

/// The tap's own address, which no guest sees: high, so that a bridge that takes the lowest of its
/// ports' addresses does not take this one.
fn own_mac(offset: u16) -> [u8; 6] {
    let [high, low] = offset.to_be_bytes();
    [0xfe, 0xbb, 0, 0, high, low]
}

/// A socket that can be read when an interface has come, changed or gone.
fn link_changes() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let changes = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(changes.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK))?;
    Ok(changes)
}
