//! A server without sockets, clock and threads: who may begin a transfer, and what each
//! datagram means.

mod admission;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::config::{RateLimit, Route, ServerConfig};
use crate::event::Event;
use crate::fill::SendBuffer;
use crate::ids::IdMap;
use crate::packet::{DecodeError, ErrorCode, Packet};
use crate::session::Session;
use crate::store::{Sink, Store, StoreError};
use crate::transfer::{Failure, Status};

/// How long the port of a failed transfer stays open.
const LINGER: Duration = Duration::from_secs(1);
/// The number of the port that requests come to.
pub const LISTENER: u64 = 0;

/// The world around an [`Engine`].
pub trait Host {
    /// Opens a port of its own for transfer `id`, at the local address of the route.
    ///
    /// Returns the receive buffer that it has, of the `buffer` that is wished for (0: any).
    ///
    /// # Errors
    /// There is no free port or descriptor.
    fn open_port(&mut self, id: u64, route: &Route, buffer: usize) -> io::Result<usize>;

    /// Closes the port of transfer `id`.
    fn close_port(&mut self, id: u64);

    /// Sends datagrams of `segment` bytes each (the last may be shorter) from the port of
    /// transfer `id`, or from the [`LISTENER`] if it has none.
    fn send(&mut self, id: u64, route: &Route, datagrams: &[u8], segment: usize) -> Sent;

    /// Commits a complete upload; [`Engine::handle_committed`] wants the result.
    fn commit(&mut self, id: u64, sink: Box<dyn Sink>);

    /// Takes an event.
    fn event(&mut self, event: Event);
}

/// How much [`Host::send`] sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All datagrams.
    All,
    /// The first so many; there was no room for the others.
    Some(usize),
}

/// Datagrams as they arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The transfer on whose port they came, or [`LISTENER`].
    pub port: u64,
    /// Where they came from and to.
    pub route: Route,
    /// Their bytes.
    pub bytes: &'a [u8],
    /// The length of each but the last.
    pub segment: usize,
}

impl<'a> Arrival<'a> {
    /// Each datagram.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks(self.segment.max(1))
    }
}

/// Decides everything that a TFTP server decides.
///
/// Its owner feeds it what arrives, what was committed and, at
/// [`poll_timeout`](Self::poll_timeout), the time; it acts through a [`Host`].
pub struct Engine {
    config: ServerConfig,
    store: Box<dyn Store>,
    /// Bytes of the listener's receive buffer that are not promised to a transfer.
    listener_room: usize,
    /// The most sessions of all kinds at once.
    slots: usize,
    next_id: u64,
    sessions: IdMap<Session>,
    routes: BTreeMap<Route, u64>,
    peers: HashMap<IpAddr, usize>,
    /// Sessions that the client has not answered, and those that only dally: oldest first.
    half_open: BTreeSet<u64>,
    dallying: BTreeSet<u64>,
    timers: BTreeSet<(Instant, u64)>,
    errors: RateLimit,
    seen: bool,
    draining: bool,
    buffer: SendBuffer,
}

impl Engine {
    /// Makes a server.
    ///
    /// `listener_buffer` is the listener's receive buffer as the kernel counts it; `slots` is
    /// the number of sessions that there are descriptors for.
    pub fn new(
        config: ServerConfig,
        store: Box<dyn Store>,
        listener_buffer: usize,
        slots: usize,
        now: Instant,
    ) -> Self {
        Self {
            errors: RateLimit::new(config.limits.errors_per_second, now),
            config,
            store,
            listener_room: listener_buffer,
            slots,
            next_id: LISTENER + 1,
            sessions: IdMap::default(),
            routes: BTreeMap::new(),
            peers: HashMap::new(),
            half_open: BTreeSet::new(),
            dallying: BTreeSet::new(),
            timers: BTreeSet::new(),
            seen: false,
            draining: false,
            buffer: SendBuffer::new(),
        }
    }

    /// Feeds what one read of a port gave, in its order.
    pub fn handle_arrivals(&mut self, arrivals: &[Arrival<'_>], now: Instant, host: &mut dyn Host) {
        // What belongs to one transfer is written by one call.
        for together in arrivals.chunk_by(|a, b| a.port == b.port && a.route == b.route) {
            let [first, ..] = together else { continue };
            if first.port != LISTENER {
                let known = self.sessions.get(&first.port).map(|s| s.route.peer);
                match known {
                    Some(peer) if peer == first.route.peer => {
                        self.deliver(first.port, together, now, host);
                    }
                    Some(_) => self.reject_stranger(together, now, host),
                    None => {}
                }
                continue;
            }
            let session = self.routes.get(&first.route).filter(|_| self.config.single_port);
            match session.copied() {
                Some(id) if !together.iter().any(|arrival| is_request(arrival.bytes)) => {
                    self.deliver(id, together, now, host);
                }
                _ => self.handle_listener(together, now, host),
            }
        }
    }

    /// The kernel reports that a datagram from this port found the peer's port closed.
    pub fn handle_unreachable(
        &mut self,
        port: u64,
        peer: SocketAddr,
        now: Instant,
        host: &mut dyn Host,
    ) {
        let first = Route { peer, local: None };
        let routes = self.routes.range(first..).take_while(|(route, _)| route.peer == peer);
        let ours = |id: &u64| port == *id || (port == LISTENER && self.config.single_port);
        let ids: Vec<u64> = routes.map(|(_, id)| *id).filter(ours).collect();
        for id in ids {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.fail(Failure::Unreachable);
                self.settle(id, now, host);
            }
        }
    }

    /// Feeds the outcome of [`Host::commit`].
    pub fn handle_committed(
        &mut self,
        id: u64,
        result: Result<(), StoreError>,
        now: Instant,
        host: &mut dyn Host,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let durable = result.is_ok();
        session.committed(result, now);
        if durable {
            self.dallying.insert(id);
            let session = &self.sessions[&id];
            session.log(&"ok", now);
            host.event(finished_event(session, now));
        }
        self.settle(id, now, host);
        if self.draining && durable {
            self.remove(id, host);
        }
    }

    /// Looks at the clock; to be called when [`poll_timeout`](Self::poll_timeout) is reached.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut dyn Host) {
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.scheduled = None;
            session.handle_timeout(now);
            self.settle(id, now, host);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Ends all transfers but those whose data is all here, and begins no new ones.
    pub fn drain(&mut self, now: Instant, host: &mut dyn Host) {
        self.draining = true;
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        for id in ids {
            if self.dallying.contains(&id) {
                self.remove(id, host);
            } else if let Some(session) = self.sessions.get_mut(&id) {
                session.fail(Failure::local(ErrorCode::UNDEFINED, "server stops"));
                self.settle(id, now, host);
            }
        }
    }

    /// Tells whether no session is left.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Tells whether no more than one client is there that the next packet may come from: it
    /// waits for each answer, or has just ended a transfer and may begin another.
    pub fn is_lockstep(&self) -> bool {
        self.sessions.len() <= 1 + self.dallying.len()
    }

    fn deliver(&mut self, id: u64, arrivals: &[Arrival<'_>], now: Instant, host: &mut dyn Host) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.handle(arrivals, &mut self.buffer, now, host);
            self.settle(id, now, host);
        }
    }

    /// A packet on a transfer's port from somebody else: the transfer is not touched.
    fn reject_stranger(&mut self, arrivals: &[Arrival<'_>], now: Instant, host: &mut dyn Host) {
        for arrival in arrivals {
            for _ in arrival.datagrams().filter(|datagram| answers_errors(datagram)) {
                let failure = Failure::local(ErrorCode::UNKNOWN_TID, "unknown transfer id");
                self.send_error(arrival.port, &arrival.route, &failure, Some(now), host);
            }
        }
    }

    fn handle_listener(&mut self, arrivals: &[Arrival<'_>], now: Instant, host: &mut dyn Host) {
        for arrival in arrivals {
            for datagram in arrival.datagrams() {
                self.handle_stray(datagram, &arrival.route, now, host);
            }
        }
    }

    /// A datagram on the listener: a request, or something that belongs to no transfer.
    fn handle_stray(&mut self, datagram: &[u8], route: &Route, now: Instant, host: &mut dyn Host) {
        if !is_request(datagram)
            && let Some(&id) = self.routes.get(route).filter(|_| self.config.single_port)
        {
            let arrival =
                Arrival { port: id, route: *route, bytes: datagram, segment: datagram.len() };
            return self.deliver(id, &[arrival], now, host);
        }
        let refusal = match Packet::decode(datagram) {
            Ok(Packet::Request(request)) => {
                return self.handle_request(&request, datagram, route, now, host);
            }
            Ok(Packet::Error { .. }) => return,
            Ok(_) => (ErrorCode::UNKNOWN_TID, "unknown transfer id"),
            Err(DecodeError::Unterminated | DecodeError::EmptyName) if is_request(datagram) => {
                (ErrorCode::ILLEGAL, "malformed request")
            }
            Err(_) => return,
        };
        let failure = Failure::local(refusal.0, refusal.1);
        self.send_error(LISTENER, route, &failure, Some(now), host);
    }

    /// Sends an ERROR; those to anybody who asks are limited in their rate.
    fn send_error(
        &mut self,
        port: u64,
        route: &Route,
        failure: &Failure,
        limited: Option<Instant>,
        host: &mut dyn Host,
    ) -> bool {
        let Some((code, message)) = failure.reply() else { return false };
        if limited.is_some_and(|now| !self.errors.take(now)) {
            return false;
        }
        let mut bytes = Vec::with_capacity(64);
        Packet::Error { code, message: message.as_bytes() }.encode(&mut bytes);
        // An ERROR is sent once; if it is lost, the peer's own timer ends the transfer.
        let _ = host.send(port, route, &bytes, bytes.len());
        true
    }

    /// Brings a session's packets out, its state up to date and its timer into the queue.
    fn settle(&mut self, id: u64, now: Instant, host: &mut dyn Host) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !session.announced && session.is_established() {
            self.establish(id, host);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.pump(&mut self.buffer, now, host);
        match session.status().clone() {
            Status::Done => {
                if !self.dallying.contains(&id) {
                    session.log(&"ok", now);
                    host.event(finished_event(session, now));
                }
                self.remove(id, host);
            }
            Status::Failed(_) if self.dallying.contains(&id) => {
                if now >= session.end_by {
                    self.remove(id, host);
                } else {
                    self.schedule(id);
                }
            }
            Status::Failed(failure) => self.abandon(id, &failure, now, host),
            Status::Active | Status::Committing | Status::Dallying => self.schedule(id),
        }
    }

    /// The client has answered: the request has become a transfer, if there is room for it.
    fn establish(&mut self, id: u64, host: &mut dyn Host) {
        let busy = self.active() >= self.config.limits.transfers;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        self.half_open.remove(&id);
        session.announced = true;
        host.event(session.started_event());
        if busy {
            session.fail(Failure::local(ErrorCode::UNDEFINED, "server is busy"));
        }
    }

    fn abandon(&mut self, id: u64, failure: &Failure, now: Instant, host: &mut dyn Host) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (route, announced) = (session.route, session.announced);
        // Nothing is left of an upload when its client hears of the end.
        session.discard();
        session.log(failure, now);
        if session.announced {
            let (direction, file) = (session.direction(), session.file.clone());
            let reason = failure.clone();
            host.event(Event::Failed { id, direction, file, reason });
        }
        // Whoever never answered may not have asked either, or asks again.
        let told = (announced || failure != &Failure::TimedOut)
            && self.send_error(id, &route, failure, None, host);
        if told && announced && !self.draining {
            self.linger(id, now);
        } else {
            self.remove(id, host);
        }
    }

    /// Keeps the port of a failed transfer open for a moment: if a packet that the client has
    /// sent meanwhile met a closed port, that news would hide the ERROR from the client.
    fn linger(&mut self, id: u64, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.end_by = now + LINGER;
        self.listener_room += std::mem::take(&mut session.reserved);
        self.dallying.insert(id);
        self.schedule(id);
    }

    fn remove(&mut self, id: u64, host: &mut dyn Host) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.half_open.remove(&id);
        self.dallying.remove(&id);
        self.routes.remove(&session.route);
        self.listener_room += session.reserved;
        if let Some(at) = session.scheduled {
            self.timers.remove(&(at, id));
        }
        let peer = session.route.peer.ip();
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
        if !self.config.single_port {
            host.close_port(id);
        }
    }

    /// Queues the session's deadline. A deadline that moves later is left until it is reached.
    fn schedule(&mut self, id: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(at) = session.poll_timeout() else { return };
        if session.scheduled.is_some_and(|scheduled| scheduled <= at) {
            return;
        }
        if let Some(old) = session.scheduled.replace(at) {
            self.timers.remove(&(old, id));
        }
        self.timers.insert((at, id));
    }

    /// Transfers whose client has answered and that are not over.
    fn active(&self) -> usize {
        self.sessions.len() - self.half_open.len() - self.dallying.len()
    }
}

fn finished_event(session: &Session, now: Instant) -> Event {
    Event::Finished {
        id: session.id,
        direction: session.direction(),
        file: session.file.clone(),
        bytes: session.bytes(),
        duration: now.saturating_duration_since(session.started),
    }
}

fn is_request(datagram: &[u8]) -> bool {
    matches!(datagram, [0, 1 | 2, ..])
}

/// Tells whether a stray datagram may be answered with an ERROR: an ERROR never is.
fn answers_errors(datagram: &[u8]) -> bool {
    matches!(Packet::decode(datagram), Ok(packet) if !matches!(packet, Packet::Error { .. }))
}
