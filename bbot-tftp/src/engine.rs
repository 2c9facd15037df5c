//! A server without sockets, clock and threads: who may begin a transfer, and what each
//! datagram means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::config::{RateLimit, Route, ServerConfig, buffer_cost};
use crate::event::Event;
use crate::options::{DEFAULT_BLOCK_SIZE, Grant, Options};
use crate::packet::{DecodeError, ErrorCode, MAX_DATAGRAM, Packet};
use crate::session::{Session, Transfer};
use crate::store::{Sink, Store, StoreError};
use crate::transfer::{Failure, Status};

/// Room for the packets of one step.
const SEND_BUFFER: usize = MAX_DATAGRAM;
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
    sessions: HashMap<u64, Session>,
    routes: BTreeMap<Route, u64>,
    peers: HashMap<IpAddr, usize>,
    /// Sessions that the client has not answered, and those that only dally: oldest first.
    half_open: BTreeSet<u64>,
    dallying: BTreeSet<u64>,
    timers: BTreeSet<(Instant, u64)>,
    errors: RateLimit,
    seen: bool,
    draining: bool,
    buffer: Vec<u8>,
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
            sessions: HashMap::new(),
            routes: BTreeMap::new(),
            peers: HashMap::new(),
            half_open: BTreeSet::new(),
            dallying: BTreeSet::new(),
            timers: BTreeSet::new(),
            seen: false,
            draining: false,
            buffer: vec![0; SEND_BUFFER],
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

    /// Tells whether a lone client in lockstep waits for the next packet.
    pub fn is_lockstep(&self) -> bool {
        self.sessions.len() == 1 + self.dallying.len()
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
        if announced || failure != &Failure::TimedOut {
            self.send_error(id, &route, failure, None, host);
        }
        self.remove(id, host);
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

/// Admission.
impl Engine {
    fn handle_request(
        &mut self,
        request: &crate::packet::Request<'_>,
        datagram: &[u8],
        route: &Route,
        now: Instant,
        host: &mut dyn Host,
    ) {
        if self.draining {
            return;
        }
        if !std::mem::replace(&mut self.seen, true) {
            host.event(Event::FirstRequest { peer: route.peer });
        }
        if let Some(&id) = self.routes.get(route)
            && !self.make_way(id, datagram, now, host)
        {
            return;
        }
        let admitted = self.admit(request, datagram, route, now, host);
        match admitted {
            Ok(id) => self.settle(id, now, host),
            Err((code, message)) => {
                let failure = Failure::local(code, message);
                if self.send_error(LISTENER, route, &failure, Some(now), host) {
                    let file = String::from_utf8_lossy(request.name);
                    let file: String = file.chars().filter(|c| !c.is_control()).collect();
                    log::debug!("request refused: peer={} file={file:?} {failure}", route.peer);
                    let (peer, direction) = (route.peer, request.direction);
                    host.event(Event::Refused { peer, direction, file, code });
                }
            }
        }
    }

    /// Decides what a second request from a port with a session means; true: begin anew.
    fn make_way(&mut self, id: u64, datagram: &[u8], now: Instant, host: &mut dyn Host) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return true };
        if self.dallying.contains(&id) {
            self.remove(id, host);
            return true;
        }
        if session.is_established() {
            return false;
        }
        if session.request != datagram {
            self.remove(id, host);
            return true;
        }
        session.repeat_opening(now);
        self.settle(id, now, host);
        false
    }

    fn admit(
        &mut self,
        request: &crate::packet::Request<'_>,
        datagram: &[u8],
        route: &Route,
        now: Instant,
        host: &mut dyn Host,
    ) -> Result<u64, (ErrorCode, &'static str)> {
        if !request.is_octet() {
            return Err((ErrorCode::ILLEGAL, "only octet mode is served"));
        }
        self.make_room(route.peer.ip(), host)?;
        let path = crate::path::RequestPath::parse(request.name)
            .ok_or((ErrorCode::ACCESS, "access violation"))?;
        let asked = Options::parse(&request.options);
        let id = self.next_id;
        let opened = Opened::new(self.store.as_ref(), request.direction, &path, &asked);
        let opened = opened.map_err(|error| error.reply())?;
        let room = self.open_port(id, route, &asked, &opened, host)?;
        self.next_id += 1;
        let granted = asked.negotiate(self.grant(&asked, &opened, room), opened.size());
        let reserved = self.reserve(&granted, &opened);
        let limits = &self.config.limits;
        let answer = limits.first_answer.max(std::time::Duration::from_secs(
            granted.timeout.map_or(0, |seconds| 3 * u64::from(seconds)),
        ));
        let session = Session {
            id,
            route: *route,
            file: path.as_str().to_owned(),
            transfer: opened.begin(&granted, self.config.rollover, limits.idle, now),
            granted,
            request: datagram.to_vec(),
            started: now,
            answer_by: now + answer,
            answer_within: answer,
            end_by: now + limits.total,
            scheduled: None,
            reserved,
            announced: false,
        };
        self.sessions.insert(id, session);
        self.routes.insert(*route, id);
        self.half_open.insert(id);
        *self.peers.entry(route.peer.ip()).or_default() += 1;
        Ok(id)
    }

    /// Checks the bounds; sessions that nobody waits for make room.
    fn make_room(
        &mut self,
        peer: IpAddr,
        host: &mut dyn Host,
    ) -> Result<(), (ErrorCode, &'static str)> {
        const BUSY: (ErrorCode, &str) = (ErrorCode::UNDEFINED, "server is busy");
        let limits = self.config.limits;
        let of_peer = self.peers.get(&peer).copied().unwrap_or(0);
        if self.active() >= limits.transfers || of_peer >= limits.per_peer {
            return Err(BUSY);
        }
        while self.dallying.len() > limits.tombstones {
            self.remove_oldest(true, host);
        }
        while self.half_open.len() >= limits.half_open.max(1) {
            self.remove_oldest(false, host);
        }
        while self.sessions.len() >= self.slots {
            if !self.remove_oldest(true, host) && !self.remove_oldest(false, host) {
                return Err(BUSY);
            }
        }
        Ok(())
    }

    fn remove_oldest(&mut self, tombstone: bool, host: &mut dyn Host) -> bool {
        let queue = if tombstone { &self.dallying } else { &self.half_open };
        let oldest = queue.first().copied();
        if let Some(id) = oldest {
            self.remove(id, host);
        }
        oldest.is_some()
    }

    /// Opens the transfer's port; returns the room in its receive buffer.
    fn open_port(
        &self,
        id: u64,
        route: &Route,
        asked: &Options,
        opened: &Opened,
        host: &mut dyn Host,
    ) -> Result<usize, (ErrorCode, &'static str)> {
        if self.config.single_port {
            return Ok(self.listener_room);
        }
        let windowed = asked.window_size.is_some_and(|w| w > 1);
        let receives = windowed && matches!(opened, Opened::Write(_));
        let wished = if receives { self.config.receive_buffer } else { 0 };
        host.open_port(id, route, wished).map_err(|error| {
            log::debug!("cannot open a port for {}: {error}", route.peer);
            (ErrorCode::UNDEFINED, "server is busy")
        })
    }

    /// The most that is granted for a request, so that a window fits into its buffers.
    fn grant(&self, asked: &Options, opened: &Opened, room: usize) -> Grant {
        let block_size =
            asked.block_size.unwrap_or(DEFAULT_BLOCK_SIZE).min(self.config.max_blksize);
        let mut blocks = self.config.max_window_bytes / usize::from(block_size.max(1));
        if matches!(opened, Opened::Write(_)) {
            blocks = blocks.min(room / buffer_cost(block_size));
        }
        let blocks = u16::try_from(blocks).unwrap_or(u16::MAX);
        Grant {
            block_size: self.config.max_blksize,
            window_size: blocks.min(self.config.max_windowsize).max(1),
        }
    }

    /// In single-port mode all uploads share one receive buffer.
    fn reserve(&mut self, granted: &Options, opened: &Opened) -> usize {
        if !self.config.single_port || !matches!(opened, Opened::Write(_)) {
            return 0;
        }
        let block_size = granted.block_size.unwrap_or(DEFAULT_BLOCK_SIZE);
        let window = usize::from(granted.window_size.unwrap_or(1));
        let wanted = (buffer_cost(block_size) * window).min(self.listener_room);
        self.listener_room -= wanted;
        wanted
    }
}

/// The file of a request.
enum Opened {
    Read(Box<dyn crate::store::Source>),
    Write(Box<dyn Sink>),
}

impl Opened {
    fn new(
        store: &dyn Store,
        direction: crate::packet::Direction,
        path: &crate::path::RequestPath,
        asked: &Options,
    ) -> Result<Self, StoreError> {
        match direction {
            crate::packet::Direction::Get => store.open(path).map(Self::Read),
            crate::packet::Direction::Put => {
                store.create(path, asked.transfer_size).map(Self::Write)
            }
        }
    }

    /// The true size, of a file that is read.
    fn size(&self) -> Option<u64> {
        match self {
            Self::Read(source) => Some(source.size()),
            Self::Write(_) => None,
        }
    }

    fn begin(
        self,
        granted: &Options,
        rollover: crate::numbering::Rollover,
        patience: std::time::Duration,
        now: Instant,
    ) -> Transfer {
        use crate::transfer::{Opening, Parameters};
        let parameters = Parameters::new(granted, rollover, patience);
        let opening = if granted.is_empty() { Opening::Plain } else { Opening::OptionAck };
        match self {
            Self::Read(source) => {
                let core = crate::SendTransfer::new(parameters, source.size(), opening, now);
                Transfer::Send { core, source, ahead: crate::fill::ReadAhead::default() }
            }
            Self::Write(sink) => {
                let core = crate::ReceiveTransfer::new(parameters, opening, now);
                Transfer::Receive { core, sink: Some(sink) }
            }
        }
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
