//! What a guest's interface is connected to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a guest's interface is connected to.
///
/// A [`Network`](crate::Network) and an opened tap convert into one, so that both can be passed to
/// [`Guest::start`](crate::Guest::start) by reference.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum NetworkAttachment<'a> {
    /// Nothing: the guest has no interface. Its `options`, if it has any, must not refer to
    /// `net0`.
    None,
    /// QEMU's user-mode network: a NAT within QEMU's process, with DHCP. It needs no privilege on
    /// the host. The guest reaches what its process's user reaches, services at the host's
    /// loopback addresses (as 10.0.2.2) included; nothing reaches the guest.
    User,
    /// An opened tap: a file descriptor on which `TUNSETIFF` has been called with `IFF_TAP` and
    /// `IFF_NO_PI`. The guest's process inherits a copy of it.
    Tap(BorrowedFd<'a>),
}

impl<'a> From<BorrowedFd<'a>> for NetworkAttachment<'a> {
    fn from(tap: BorrowedFd<'a>) -> NetworkAttachment<'a> {
        NetworkAttachment::Tap(tap)
    }
}

impl<'a> From<&'a OwnedFd> for NetworkAttachment<'a> {
    fn from(tap: &'a OwnedFd) -> NetworkAttachment<'a> {
        NetworkAttachment::Tap(tap.as_fd())
    }
}
