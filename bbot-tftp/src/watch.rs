//! Which ports have something to read: epoll knows it of all, `poll` of those that are busy.
//!
//! A socket that epoll watches calls it for each packet that it receives, and for each that it
//! has sent. While many clients keep many ports busy, asking all of these ports at once costs
//! less than their calls do, here and in a client on the same machine.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::ids::IdMap;
use crate::udp::Port;

/// Events that one wait of epoll returns.
const EVENTS: usize = 64;
/// Ports that have something at once are busy ports.
const CROWD: usize = 32;
/// Waits in which a busy port has nothing, before it is no longer a busy one.
const VAIN_WAITS: u32 = 8;

/// A port that has something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    /// There is a report of a packet that did not arrive.
    pub(crate) has_error: bool,
}

/// The descriptors that a server waits for.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: OwnedFd,
    busy: Vec<Busy>,
}

/// A port that is not with epoll.
#[derive(Debug)]
struct Busy {
    id: u64,
    vain_waits: u32,
}

impl Watch {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, busy: Vec::new() })
    }

    /// Adds a descriptor; it leaves when it is closed.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(token), EventFlags::IN)
    }

    /// Waits until something is ready, or for so long; `ports` are those of the tokens that may
    /// become busy.
    pub(crate) fn wait(
        &mut self,
        ports: &IdMap<Port>,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) {
        ready.clear();
        let mut timeout = timeout.map(|t| Timespec {
            tv_sec: t.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        if !self.busy.is_empty() {
            if !self.ask_busy(ports, timeout.as_ref(), ready) {
                return;
            }
            timeout = Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let asked = ready.len();
        self.ask_epoll(timeout.as_ref(), ready);
        if ready.len() >= CROWD {
            let ids = ready[asked..].iter().map(|ready| ready.token);
            let removed = |id: &u64| {
                ports.get(id).is_some_and(|port| epoll::delete(&self.epoll, port).is_ok())
            };
            self.busy.extend(ids.filter(removed).map(|id| Busy { id, vain_waits: 0 }));
        }
    }

    fn ask_epoll(&self, timeout: Option<&Timespec>, ready: &mut Vec<Ready>) {
        let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [nothing; EVENTS];
        // A signal is no event; the caller comes back.
        let count = epoll::wait(&self.epoll, &mut events, timeout).unwrap_or(0);
        ready.extend(events[..count].iter().map(|&epoll::Event { flags, data }| Ready {
            token: data.u64(),
            has_error: flags.contains(EventFlags::ERR),
        }));
    }

    /// Asks the busy ports; tells whether epoll has something too.
    fn ask_busy(
        &mut self,
        ports: &IdMap<Port>,
        timeout: Option<&Timespec>,
        ready: &mut Vec<Ready>,
    ) -> bool {
        self.busy.retain(|busy| ports.contains_key(&busy.id));
        let fds = self.busy.iter().filter_map(|busy| ports.get(&busy.id));
        let mut fds: Vec<_> = fds.map(|port| PollFd::new(port, PollFlags::IN)).collect();
        fds.push(PollFd::new(&self.epoll, PollFlags::IN));
        // A signal is no event here either.
        if poll(&mut fds, timeout).is_err() {
            return false;
        }
        for (busy, fd) in self.busy.iter_mut().zip(&fds) {
            let flags = fd.revents();
            busy.vain_waits += 1;
            if !flags.is_empty() {
                busy.vain_waits = 0;
                ready.push(Ready { token: busy.id, has_error: flags.contains(PollFlags::ERR) });
            }
        }
        let others = fds.last().is_some_and(|fd| !fd.revents().is_empty());
        self.busy.retain(|busy| {
            let is_busy = busy.vain_waits < VAIN_WAITS;
            let fd = ports.get(&busy.id).filter(|_| !is_busy);
            let data = EventData::new_u64(busy.id);
            // Where epoll cannot take it back, it stays here.
            fd.is_none_or(|fd| epoll::add(&self.epoll, fd, data, EventFlags::IN).is_err())
        });
        others
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;
    use crate::config::Offload;
    use crate::udp::Inbox;

    /// Ports with a client that sends to them.
    struct Crowd {
        watch: Watch,
        ports: IdMap<Port>,
        client: UdpSocket,
    }

    impl Crowd {
        fn new() -> Self {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let watch = Watch::new().unwrap();
            let mut ports = IdMap::default();
            for id in 1..=CROWD as u64 {
                let port = Port::bind(any, Offload::ALL).unwrap();
                watch.add(&port, id).unwrap();
                ports.insert(id, port);
            }
            Self { watch, ports, client: UdpSocket::bind(any).unwrap() }
        }

        fn send(&self, ids: impl IntoIterator<Item = u64>) {
            for id in ids {
                self.client.send_to(b"x", self.ports[&id].local_addr().unwrap()).unwrap();
            }
        }

        /// Waits once; reads and returns what was ready.
        fn wait(&mut self) -> Vec<u64> {
            let (mut ready, mut inbox) = (Vec::new(), Inbox::new(false));
            self.watch.wait(&self.ports, Some(Duration::ZERO), &mut ready);
            for ready in &ready {
                inbox.clear();
                self.ports[&ready.token].receive(ready.token, &mut inbox).unwrap();
            }
            let mut ids: Vec<u64> = ready.iter().map(|ready| ready.token).collect();
            ids.sort_unstable();
            ids
        }
    }

    #[test]
    fn a_crowd_is_busy_as_long_as_it_sends() {
        let all: Vec<u64> = (1..=CROWD as u64).collect();
        let mut crowd = Crowd::new();
        crowd.send(all[1..].to_vec());
        assert_eq!(crowd.wait(), all[1..]);
        assert!(crowd.watch.busy.is_empty(), "too few");
        crowd.send(all.clone());
        assert_eq!(crowd.wait(), all);
        assert_eq!(crowd.watch.busy.len(), CROWD);
        // Both those that are busy and one that is not are heard of.
        let port = Port::bind(([127, 0, 0, 1], 0).into(), Offload::ALL).unwrap();
        crowd.watch.add(&port, 99).unwrap();
        crowd.ports.insert(99, port);
        crowd.send([3, 99]);
        assert_eq!(crowd.wait(), [3, 99]);
        // One goes, one goes on, and the others are with epoll again.
        crowd.ports.remove(&5);
        for _ in 0..VAIN_WAITS {
            crowd.send([7]);
            assert_eq!(crowd.wait(), [7]);
        }
        assert!(matches!(crowd.watch.busy[..], [Busy { id: 7, .. }]));
        crowd.send([3, 7, 8]);
        assert_eq!(crowd.wait(), [3, 7, 8]);
        for _ in 0..VAIN_WAITS {
            assert_eq!(crowd.wait(), []);
        }
        assert!(crowd.watch.busy.is_empty());
        crowd.send([7]);
        assert_eq!(crowd.wait(), [7]);
    }
}
