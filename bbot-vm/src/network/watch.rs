//! Notices that something has changed which an instance's network depends on.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::SockProtocol;

use super::config::NetworkConfig;
use super::interface::{IFLA_IFNAME, INTERFACE_HEADER, Interface, RTM_NEWLINK, index_of};
use super::netlink::{Message, NetlinkSocket};
use super::table_content;
use crate::error::Error;

/// The groups of notifications about interfaces and IPv4 addresses, as bits: `RTNLGRP_LINK` and
/// `RTNLGRP_IPV4_IFADDR` (`linux/rtnetlink.h`).
const ROUTE_GROUPS: u32 = 1 | 1 << 4;
/// The group of notifications about nft objects, as a bit: `NFNLGRP_NFTABLES`
/// (`linux/netfilter/nfnetlink.h`).
const NFT_GROUPS: u32 = 1 << 6;
/// `RTM_DELLINK`, `RTM_NEWADDR` and `RTM_DELADDR` (`linux/rtnetlink.h`).
const RTM_DELLINK: u16 = 17;
const ADDRESS_CHANGES: [u16; 2] = [20, 21];

/// A thread that reports changes of what an instance's network depends on: its bridge, its tap, the
/// host's IPv4 addresses and its nft tables. Dropped, it ends.
#[derive(Debug)]
pub struct NetworkWatch {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl NetworkWatch {
    /// Starts to watch, in the network namespace of the calling thread. None of the interfaces and
    /// tables need exist.
    ///
    /// `changed` is called on the watch's own thread after each change, and after notifications
    /// that the kernel could not deliver. Changes that this process has made itself count as well.
    /// It must neither panic nor wait.
    ///
    /// # Errors
    ///
    /// If the configuration cannot be used, or if the kernel refuses a socket or a thread.
    pub fn start(
        config: &NetworkConfig,
        changed: impl FnMut() + Send + 'static,
    ) -> Result<NetworkWatch, Error> {
        let filter = Filter::new(config)?;
        let failed = Error::interface("watch", &config.bridge);
        let route = NetlinkSocket::subscribe(SockProtocol::NetlinkRoute, ROUTE_GROUPS);
        let nft = NetlinkSocket::subscribe(SockProtocol::NetlinkNetFilter, NFT_GROUPS);
        let sockets = [route.map_err(&failed)?, nft.map_err(&failed)?];
        let stop = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC);
        let stop = Arc::new(stop.map_err(|error| failed(error.into()))?);
        let stopped = Arc::clone(&stop);
        let watch = move || watch(&sockets, &stopped, filter, changed);
        let thread = thread::Builder::new().name("network-watch".into()).spawn(watch);
        Ok(NetworkWatch { stop, thread: Some(thread.map_err(&failed)?) })
    }
}

impl Drop for NetworkWatch {
    fn drop(&mut self) {
        // The thread must not be waited for if it cannot be told to end. A panic of its own has
        // been printed already.
        if self.stop.write(1).is_ok()
            && let Some(thread) = self.thread.take()
        {
            drop(thread.join());
        }
    }
}

fn watch(
    sockets: &[NetlinkSocket; 2],
    stop: &EventFd,
    mut filter: Filter,
    mut changed: impl FnMut(),
) {
    let mut buffer = Vec::new();
    loop {
        let fds = [sockets[0].as_fd(), sockets[1].as_fd(), stop.as_fd()];
        let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            // Without a way to wait there is nothing to report any more.
            Err(error) => return log::debug!("cannot watch the network: {error}"),
            Ok(_) => {}
        }
        if fds[2].any().unwrap_or(true) {
            return;
        }
        let received = sockets.each_ref().map(|socket| drain(socket, &mut buffer, &mut filter));
        match received {
            [Ok(false), Ok(false)] => {}
            [Ok(_), Ok(_)] => changed(),
            [Err(error), _] | [_, Err(error)] => {
                log::debug!("cannot receive notifications of the network: {error}");
                return changed();
            }
        }
    }
}

/// Receives all notifications that are there; returns whether one of them is relevant.
fn drain(socket: &NetlinkSocket, buffer: &mut Vec<u8>, filter: &mut Filter) -> io::Result<bool> {
    let mut is_relevant = false;
    loop {
        match socket.receive(buffer) {
            Ok(None) => return Ok(is_relevant),
            Ok(Some(messages)) => {
                for message in &messages {
                    is_relevant |= filter.is_relevant(message);
                }
            }
            // ENOBUFS: notifications were lost.
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => is_relevant = true,
            Err(error) => return Err(error),
        }
    }
}

/// Which notifications are about an instance's network.
#[derive(Debug)]
struct Filter {
    names: [String; 2],
    /// The numbers that interfaces of these names have had.
    indices: Vec<u32>,
    table: Vec<u8>,
}

impl Filter {
    fn new(config: &NetworkConfig) -> Result<Filter, Error> {
        let names = [config.bridge.clone(), config.tap()];
        let mut indices = Vec::new();
        for name in &names {
            indices.extend(Interface::find(name)?.map(|interface| interface.index));
        }
        let table = [config.tables()?.name().as_bytes(), &[0]].concat();
        Ok(Filter { names, indices, table })
    }

    fn is_relevant(&mut self, message: &Message) -> bool {
        match message.kind {
            // Of any interface: the bridge may be made anew with another number.
            kind if ADDRESS_CHANGES.contains(&kind) => true,
            RTM_NEWLINK | RTM_DELLINK => self.is_about_interface(message),
            _ => table_content::is_about(message, &self.table),
        }
    }

    /// By name or number: a renamed interface is as good as a removed one.
    fn is_about_interface(&mut self, message: &Message) -> bool {
        let Some(index) = index_of(message) else { return false };
        let name = message.attributes(INTERFACE_HEADER).text(IFLA_IFNAME);
        let is_named = name.is_some_and(|name| self.names.iter().any(|ours| ours == name));
        let is_known = self.indices.contains(&index);
        if is_named && !is_known {
            self.indices.push(index);
        }
        is_named || is_known
    }
}
