//! Netlink sockets and messages (netlink(7)), as far as interfaces and nft tables need them.

mod message;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

pub(super) use message::{Attributes, Message, attribute, messages};
use message::{DONE, DUMP_INTERRUPTED, ERROR, encode};

/// A request that is acknowledged (`NLM_F_REQUEST`, `NLM_F_ACK`).
const REQUEST: u16 = 0x1 | 0x4;
/// A request for all objects (`NLM_F_REQUEST`, `NLM_F_ROOT`, `NLM_F_MATCH`).
const DUMP: u16 = 0x1 | 0x100 | 0x200;
/// Larger than any datagram that the kernel sends.
const BUFFER: usize = 64 << 10;
/// From a request to the next part of its answer, in seconds. The kernel answers at once.
const LIMIT_SECONDS: i64 = 5;
/// How often a dump is begun anew because the objects changed meanwhile.
const DUMPS_MAX: u32 = 10;

/// A netlink socket, in the network namespace of the thread that opens it.
#[derive(Debug)]
pub(super) struct NetlinkSocket(OwnedFd);

impl NetlinkSocket {
    /// Opens a socket for requests.
    pub(super) fn open(protocol: SockProtocol) -> io::Result<NetlinkSocket> {
        let socket = NetlinkSocket::subscribe(protocol, 0)?;
        setsockopt(&socket.0, sockopt::ReceiveTimeout, &TimeVal::new(LIMIT_SECONDS, 0))?;
        Ok(socket)
    }

    /// Opens a socket that receives the notifications of `groups`, a bit mask.
    pub(super) fn subscribe(protocol: SockProtocol, groups: u32) -> io::Result<NetlinkSocket> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(NetlinkSocket(socket))
    }

    /// Makes a request, and returns the messages that answer it.
    pub(super) fn request(&self, kind: u16, payload: &[u8]) -> io::Result<Vec<Message>> {
        let mut answer = Vec::new();
        self.exchange(kind, REQUEST, payload, &mut answer)?;
        Ok(answer)
    }

    /// Makes a request for all objects of a kind, and returns one message for each.
    pub(super) fn dump(&self, kind: u16, payload: &[u8]) -> io::Result<Vec<Message>> {
        for _ in 0..DUMPS_MAX {
            let mut answer = Vec::new();
            if self.exchange(kind, DUMP, payload, &mut answer)? {
                return Ok(answer);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Receives one datagram without waiting; `None` if there is none. An error of the kind
    /// `ENOBUFS` means that notifications were lost.
    pub(super) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<Message>>> {
        buffer.resize(BUFFER, 0);
        match recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(messages(&buffer[..length]))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends the answer to `answer`; returns whether it is consistent.
    fn exchange(
        &self,
        kind: u16,
        flags: u16,
        payload: &[u8],
        answer: &mut Vec<Message>,
    ) -> io::Result<bool> {
        send(self.0.as_raw_fd(), &encode(kind, flags, payload), MsgFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        let mut is_consistent = true;
        loop {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                length => length?,
            };
            for message in messages(&buffer[..length]) {
                is_consistent &= message.flags & DUMP_INTERRUPTED == 0;
                match message.kind {
                    DONE => return Ok(is_consistent),
                    ERROR => return message.error().map(|()| is_consistent),
                    _ => answer.push(message),
                }
            }
        }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
