//! Waiting for sockets: epoll(7) for all of them, poll(2) for those that are busy.
//!
//! A socket in an epoll instance notifies it of each packet that is received, and of each that has
//! been sent. While many clients keep many sockets busy, one poll(2) of all these sockets costs
//! less than the notifications, in this process and in a client on the same host.

use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;

use super::udp::Port;
use crate::protocol::{PortId, TransferId, TransferMap};

/// The number of events that one `epoll_wait` returns.
const EVENTS: usize = 64;
/// The number of sockets that are ready at once from which on they count as busy.
const BUSY_THRESHOLD: usize = 32;
/// The number of waits in which a busy socket is not ready before it counts as idle again.
const IDLE_WAITS: u32 = 8;

/// What a descriptor of a [`Watch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A port of the server.
    Port(PortId),
    /// The second socket at the address of a transfer's port, which receives the packets of all
    /// senders but the client.
    CatchAll(TransferId),
    /// The event counter that other threads wake the server by.
    Wake,
}

impl Token {
    /// Marks the number of a catch-all socket. Transfers are counted from 1 and do not reach it.
    const CATCH_ALL: u64 = 1 << 62;

    fn to_bits(self) -> u64 {
        match self {
            Self::Port(PortId::Listener) => 0,
            Self::Port(PortId::Transfer(id)) => id.get(),
            Self::CatchAll(id) => id.get() | Self::CATCH_ALL,
            Self::Wake => u64::MAX,
        }
    }

    fn from_bits(bits: u64) -> Self {
        if bits == u64::MAX {
            return Self::Wake;
        }
        match NonZeroU64::new(bits & !Self::CATCH_ALL).map(TransferId::from) {
            None => Self::Port(PortId::Listener),
            Some(id) if bits & Self::CATCH_ALL != 0 => Self::CatchAll(id),
            Some(id) => Self::Port(PortId::Transfer(id)),
        }
    }

    /// The server's port that the descriptor belongs to.
    pub(crate) fn port(self) -> Option<PortId> {
        match self {
            Self::Port(port) => Some(port),
            Self::CatchAll(id) => Some(PortId::Transfer(id)),
            Self::Wake => None,
        }
    }
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    /// The error queue of the socket is not empty.
    pub(crate) has_error: bool,
}

/// The descriptors that a server waits for.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: Epoll,
    busy: Vec<Busy>,
}

/// A port that is not in the epoll instance.
#[derive(Debug)]
struct Busy {
    id: TransferId,
    /// The number of waits in which it was not ready.
    idle_waits: u32,
}

impl Watch {
    pub(crate) fn new() -> nix::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, busy: Vec::new() })
    }

    /// Adds a descriptor; closing it removes it.
    pub(crate) fn add(&self, fd: impl AsFd, token: Token) -> nix::Result<()> {
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token.to_bits()))
    }

    /// Waits until a descriptor is ready or `timeout` has passed; `ports` are those that may be
    /// busy.
    pub(crate) fn wait(
        &mut self,
        ports: &TransferMap<Port>,
        mut timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) {
        ready.clear();
        if !self.busy.is_empty() {
            if !self.poll_busy(ports, timeout, ready) {
                return;
            }
            timeout = Some(Duration::ZERO);
        }
        let polled = ready.len();
        self.poll_epoll(timeout, ready);
        if ready.len() >= BUSY_THRESHOLD {
            let removed = |ready: &Ready| match ready.token {
                Token::Port(PortId::Transfer(id)) => {
                    let port = ports.get(&id)?;
                    self.epoll.delete(port).ok()?;
                    Some(Busy { id, idle_waits: 0 })
                }
                _ => None,
            };
            self.busy.extend(ready[polled..].iter().filter_map(removed));
        }
    }

    fn poll_epoll(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) {
        let mut events = [EpollEvent::empty(); EVENTS];
        // After a signal the caller waits again.
        let count = self.epoll.wait(&mut events, epoll_timeout(timeout)).unwrap_or(0);
        ready.extend(events[..count].iter().map(|event| Ready {
            token: Token::from_bits(event.data()),
            has_error: event.events().contains(EpollFlags::EPOLLERR),
        }));
    }

    /// Waits for the busy ports; returns whether the epoll instance has events too.
    fn poll_busy(
        &mut self,
        ports: &TransferMap<Port>,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> bool {
        self.busy.retain(|busy| ports.contains_key(&busy.id));
        let fds = self.busy.iter().filter_map(|busy| ports.get(&busy.id));
        let mut fds: Vec<_> =
            fds.map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN)).collect();
        fds.push(PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN));
        // After a signal the caller waits again.
        if ppoll(&mut fds, timeout.map(time_spec), None).is_err() {
            return false;
        }
        for (busy, fd) in self.busy.iter_mut().zip(&fds) {
            let flags = fd.revents().unwrap_or(PollFlags::empty());
            busy.idle_waits += 1;
            if !flags.is_empty() {
                busy.idle_waits = 0;
                let has_error = flags.contains(PollFlags::POLLERR);
                ready.push(Ready { token: Token::Port(PortId::Transfer(busy.id)), has_error });
            }
        }
        let epoll_is_ready = fds.last().is_some_and(|fd| fd.any().unwrap_or(false));
        let epoll = &self.epoll;
        self.busy.retain(|busy| {
            let is_busy = busy.idle_waits < IDLE_WAITS;
            let port = ports.get(&busy.id).filter(|_| !is_busy);
            let token = Token::Port(PortId::Transfer(busy.id));
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token.to_bits());
            // Where the epoll instance cannot take it, it remains among the busy ones.
            port.is_none_or(|port| epoll.add(port, event).is_err())
        });
        epoll_is_ready
    }
}

/// Waits until `port` is readable or `timeout` has passed, and returns whether it is readable. A
/// signal ends the wait early.
pub(crate) fn wait_readable(port: &Port, timeout: Option<Duration>) -> nix::Result<bool> {
    let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
    match ppoll(&mut fds, timeout.map(time_spec), None) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Epoll counts in milliseconds: a timeout is rounded up, so that its deadline has passed after it.
fn epoll_timeout(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else { return EpollTimeout::NONE };
    let milliseconds = u64::from(timeout.subsec_nanos().div_ceil(1_000_000));
    let milliseconds = timeout.as_secs().saturating_mul(1000).saturating_add(milliseconds);
    EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::MAX)
}

fn time_spec(timeout: Duration) -> TimeSpec {
    const LONGEST: Duration = Duration::from_secs(1 << 31);
    TimeSpec::from_duration(timeout.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;
    use crate::config::Offload;
    use crate::net::Inbox;

    /// Watched ports, and a client that sends to them.
    struct Fixture {
        watch: Watch,
        ports: TransferMap<Port>,
        client: UdpSocket,
    }

    fn id(number: u64) -> TransferId {
        NonZeroU64::new(number).unwrap().into()
    }

    fn token(number: u64) -> Token {
        Token::Port(PortId::Transfer(id(number)))
    }

    impl Fixture {
        fn new() -> Self {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let watch = Watch::new().unwrap();
            let mut ports = TransferMap::default();
            for number in 1..=BUSY_THRESHOLD as u64 {
                let port = Port::bind(any, Offload::ALL).unwrap();
                watch.add(&port, token(number)).unwrap();
                ports.insert(id(number), port);
            }
            Self { watch, ports, client: UdpSocket::bind(any).unwrap() }
        }

        fn send(&self, numbers: impl IntoIterator<Item = u64>) {
            for number in numbers {
                let port = &self.ports[&id(number)];
                self.client.send_to(b"x", port.local_addr().unwrap()).unwrap();
            }
        }

        /// Waits once; reads from the ports that are ready, and returns their numbers.
        fn wait(&mut self) -> Vec<u64> {
            let (mut ready, mut inbox) = (Vec::new(), Inbox::new(false));
            self.watch.wait(&self.ports, Some(Duration::ZERO), &mut ready);
            let mut numbers = Vec::new();
            for Ready { token, .. } in ready {
                let Some(PortId::Transfer(id)) = token.port() else { panic!("{token:?}") };
                inbox.clear();
                self.ports[&id].receive(PortId::Transfer(id), &mut inbox).unwrap();
                numbers.push(id.get());
            }
            numbers.sort_unstable();
            numbers
        }
    }

    #[test]
    fn tokens_are_numbers() {
        let tokens = [
            Token::Port(PortId::Listener),
            token(1),
            token(1 << 61),
            Token::CatchAll(id(1)),
            Token::CatchAll(id(1 << 61)),
            Token::Wake,
        ];
        for token in tokens {
            assert_eq!(Token::from_bits(token.to_bits()), token);
        }
    }

    /// A wait does not end before its deadline, which would make the server poll for the rest.
    #[test]
    fn timeouts_of_epoll_are_rounded_up() {
        let milliseconds = |timeout| epoll_timeout(Some(timeout)).as_millis();
        assert_eq!(milliseconds(Duration::ZERO), Some(0));
        assert_eq!(milliseconds(Duration::from_nanos(1)), Some(1));
        assert_eq!(milliseconds(Duration::from_micros(2001)), Some(3));
        assert_eq!(milliseconds(Duration::from_secs(2)), Some(2000));
        assert_eq!(milliseconds(Duration::MAX), EpollTimeout::MAX.as_millis());
        assert!(epoll_timeout(None).is_none());
    }

    #[test]
    fn many_ports_are_busy_while_they_receive() {
        let all: Vec<u64> = (1..=BUSY_THRESHOLD as u64).collect();
        let mut fixture = Fixture::new();
        fixture.send(all[1..].to_vec());
        assert_eq!(fixture.wait(), all[1..]);
        assert!(fixture.watch.busy.is_empty(), "too few");
        fixture.send(all.clone());
        assert_eq!(fixture.wait(), all);
        assert_eq!(fixture.watch.busy.len(), BUSY_THRESHOLD);
        // Busy ports and an idle one are ready at once.
        let port = Port::bind(([127, 0, 0, 1], 0).into(), Offload::ALL).unwrap();
        fixture.watch.add(&port, token(99)).unwrap();
        fixture.ports.insert(id(99), port);
        fixture.send([3, 99]);
        assert_eq!(fixture.wait(), [3, 99]);
        // One is closed, one is still busy, and the others are in the epoll instance again.
        fixture.ports.remove(&id(5));
        for _ in 0..IDLE_WAITS {
            fixture.send([7]);
            assert_eq!(fixture.wait(), [7]);
        }
        assert!(matches!(fixture.watch.busy[..], [Busy { id, .. }] if id.get() == 7));
        fixture.send([3, 7, 8]);
        assert_eq!(fixture.wait(), [3, 7, 8]);
        for _ in 0..IDLE_WAITS {
            assert_eq!(fixture.wait(), []);
        }
        assert!(fixture.watch.busy.is_empty());
        fixture.send([7]);
        assert_eq!(fixture.wait(), [7]);
    }
}
