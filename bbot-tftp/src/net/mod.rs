//! The operating system's side of the network: sockets, waiting for them, file descriptors.

mod descriptors;
mod inbox;
mod mtu;
mod udp;
mod watch;

pub(crate) use descriptors::{reserve_descriptors, sessions_with_descriptors};
pub(crate) use inbox::Inbox;
pub(crate) use mtu::Mtus;
pub(crate) use udp::{Port, Report};
pub(crate) use watch::{Ready, Token, Watch, wait_readable};
