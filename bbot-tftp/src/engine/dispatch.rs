//! What each datagram, deadline and result means to a server.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::admission::{Admission, Refusal, Resources};
use super::error_budget::ErrorBudget;
use super::host::Host;
use super::send_buffer::SendBuffer;
use super::session::Session;
use super::session_table::SessionTable;
use crate::config::ServerConfig;
use crate::event::Event;
use crate::protocol::{
    Arrival, Datagrams, DecodeError, ErrorCode, Failure, Packet, PortId, Request, Route, Status,
    TransferId,
};
use crate::store::{Store, StoreError};

/// The time for which the port of a failed transfer remains open.
const LINGER: Duration = Duration::from_secs(1);
/// What clients are told when the server stops (T34).
const STOPS: Refusal = (ErrorCode::UNDEFINED, "server stops");

/// A whole server without sockets, clock and threads.
///
/// The caller passes it the datagrams that arrive, the results of commits and, at
/// [`poll_timeout`](Self::poll_timeout), the time; it acts through a [`Host`]. This crate's
/// [`Server`](crate::Server) is an engine with sockets, epoll and a storage thread; its front page
/// has an engine without them.
pub struct Engine {
    admission: Admission,
    sessions: SessionTable,
    errors: ErrorBudget,
    /// A well-formed request has been received.
    was_requested: bool,
    draining: bool,
    buffer: SendBuffer,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes a server that finds its files in `store`.
    pub fn new(
        config: ServerConfig,
        store: Box<dyn Store>,
        resources: Resources,
        now: Instant,
    ) -> Self {
        Self {
            errors: ErrorBudget::new(config.limits.errors_per_second, now),
            admission: Admission::new(config, store, resources),
            sessions: SessionTable::default(),
            was_requested: false,
            draining: false,
            buffer: SendBuffer::new(),
        }
    }

    /// Handles datagrams that have arrived, in the order in which each port has received them.
    pub fn handle_arrivals(&mut self, arrivals: &[Arrival<'_>], now: Instant, host: &mut dyn Host) {
        // The payloads of one transfer are written by one call.
        for group in arrivals.chunk_by(|a, b| a.port == b.port && a.route == b.route) {
            let [first, ..] = group else { continue };
            match first.port {
                PortId::Transfer(id) => {
                    match self.sessions.get(id).map(|session| session.route.peer) {
                        Some(peer) if peer == first.route.peer => {
                            self.deliver(id, group, now, host);
                        }
                        Some(_) => self.reject_unknown_sender(group, now, host),
                        None => {}
                    }
                }
                PortId::Listener => match self.shared_session(&first.route) {
                    Some(id) if !group.iter().any(|a| is_request(a.datagrams.bytes())) => {
                        self.deliver(id, group, now, host);
                    }
                    _ => self.handle_listener(group, now, host),
                },
            }
        }
    }

    /// Handles the kernel's report that a datagram from `port` has found the port of `peer` closed:
    /// its transfer ends (T6).
    pub fn handle_unreachable(
        &mut self,
        port: PortId,
        peer: SocketAddr,
        now: Instant,
        host: &mut dyn Host,
    ) {
        let single_port = self.admission.config.single_port;
        let is_affected = |id: &TransferId| match port {
            PortId::Transfer(of) => of == *id,
            PortId::Listener => single_port,
        };
        let ids: Vec<_> = self.sessions.by_client(peer).filter(is_affected).collect();
        for id in ids {
            if let Some(session) = self.sessions.get_mut(id) {
                session.fail(Failure::Unreachable);
                self.settle(id, now, host);
            }
        }
    }

    /// Handles the result of [`Host::commit`].
    pub fn handle_committed(
        &mut self,
        id: TransferId,
        result: Result<(), StoreError>,
        now: Instant,
        host: &mut dyn Host,
    ) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let is_durable = result.is_ok();
        session.committed(result, now);
        let is_detached = session.detached;
        if is_durable {
            session.log(&"ok", now);
            host.event(session.finished_event(now));
            self.admission.release_buffer(session);
            self.sessions.dally(id);
        }
        if !(is_durable && is_detached) {
            self.settle(id, now, host);
        }
        if is_durable && (is_detached || self.draining) {
            self.remove(id, host);
        }
    }

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout); before it, this does nothing.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut dyn Host) {
        while let Some(id) = self.sessions.take_due(now) {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            session.handle_timeout(now);
            self.settle(id, now, host);
        }
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) is due, if any.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sessions.first_deadline()
    }

    /// Ends all transfers but the downloads in progress and the uploads whose data has been
    /// received, and begins no new ones (T34). The clients are told.
    pub fn drain(&mut self, now: Instant, host: &mut dyn Host) {
        self.close(Session::is_download_in_progress, now, host);
    }

    /// Ends all transfers but the uploads whose data has been received, and begins no new ones
    /// (T34). The clients are told.
    pub fn finish_uploads(&mut self, now: Instant, host: &mut dyn Host) {
        self.close(|_| false, now, host);
    }

    fn close(&mut self, goes_on: fn(&Session) -> bool, now: Instant, host: &mut dyn Host) {
        self.draining = true;
        for id in self.sessions.ids() {
            if self.sessions.is_dallying(id) {
                self.remove(id, host);
            } else if let Some(session) = self.sessions.get_mut(id).filter(|s| !goes_on(s)) {
                let (code, message) = STOPS;
                session.fail(Failure::local(code, message));
                self.settle(id, now, host);
            }
        }
    }

    /// Returns whether there are no sessions: no transfers, half-open or dallying ones included.
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Returns whether the next packet can come from one client at most: it waits for each answer,
    /// or has just ended a transfer and may begin another one.
    pub fn is_lockstep(&self) -> bool {
        self.sessions.count() <= 1 + self.sessions.count_dallying()
    }

    /// In single-port mode, the session of a client.
    fn shared_session(&self, route: &Route) -> Option<TransferId> {
        if self.admission.config.single_port { self.sessions.by_route(route) } else { None }
    }

    fn deliver(
        &mut self,
        id: TransferId,
        arrivals: &[Arrival<'_>],
        now: Instant,
        host: &mut dyn Host,
    ) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.handle(arrivals, &mut self.buffer, now, host);
            self.settle(id, now, host);
        }
    }

    /// Answers packets at a transfer's port that are not from its client: the transfer is not
    /// affected (T2).
    fn reject_unknown_sender(
        &mut self,
        arrivals: &[Arrival<'_>],
        now: Instant,
        host: &mut dyn Host,
    ) {
        for arrival in arrivals {
            for _ in arrival.datagrams.iter().filter(|datagram| may_be_answered(datagram)) {
                let failure = Failure::local(ErrorCode::UNKNOWN_TID, "unknown transfer id");
                self.send_error(arrival.port, &arrival.route, &failure, Some(now), host);
            }
        }
    }

    fn handle_listener(&mut self, arrivals: &[Arrival<'_>], now: Instant, host: &mut dyn Host) {
        for arrival in arrivals {
            for datagram in arrival.datagrams.iter() {
                self.handle_on_listener(datagram, &arrival.route, now, host);
            }
        }
    }

    /// Handles a datagram at the listener: a request, or a packet without a transfer.
    fn handle_on_listener(
        &mut self,
        datagram: &[u8],
        route: &Route,
        now: Instant,
        host: &mut dyn Host,
    ) {
        if !is_request(datagram)
            && let Some(id) = self.shared_session(route)
        {
            let arrival = Arrival::new(PortId::Listener, *route, Datagrams::one(datagram));
            return self.deliver(id, &[arrival], now, host);
        }
        let (code, message) = match Packet::decode(datagram) {
            Ok(Packet::Request(request)) => {
                return self.handle_request(&request, datagram, route, now, host);
            }
            Ok(Packet::Error { .. }) => return,
            Ok(_) => (ErrorCode::UNKNOWN_TID, "unknown transfer id"),
            // T4: a malformed request is answered, other malformed packets are not.
            Err(DecodeError::Unterminated | DecodeError::EmptyName) if is_request(datagram) => {
                (ErrorCode::ILLEGAL, "malformed request")
            }
            Err(_) => return,
        };
        let failure = Failure::local(code, message);
        self.send_error(PortId::Listener, route, &failure, Some(now), host);
    }

    fn handle_request(
        &mut self,
        request: &Request<'_>,
        datagram: &[u8],
        route: &Route,
        now: Instant,
        host: &mut dyn Host,
    ) {
        if !self.draining && !std::mem::replace(&mut self.was_requested, true) {
            host.event(Event::FirstRequest { peer: route.peer });
        }
        if let Some(id) = self.sessions.by_route(route)
            && !self.replaces(id, datagram, now, host)
        {
            return;
        }
        let admitted = if self.draining {
            Err(STOPS)
        } else {
            self.admission.admit(&mut self.sessions, request, datagram, route, now, host)
        };
        match admitted {
            Ok(id) => self.settle(id, now, host),
            Err((code, message)) => {
                let failure = Failure::local(code, message);
                if self.send_error(PortId::Listener, route, &failure, Some(now), host) {
                    report_refusal(request, route, &failure, code, host);
                }
            }
        }
    }

    /// Handles a request from a port that has a session; returns whether a new session begins (T5).
    fn replaces(
        &mut self,
        id: TransferId,
        datagram: &[u8],
        now: Instant,
        host: &mut dyn Host,
    ) -> bool {
        let is_dallying = self.sessions.is_dallying(id);
        let Some(session) = self.sessions.get_mut(id) else { return true };
        let is_repeated = session.request == datagram;
        if is_dallying {
            if is_repeated && session.handle_double(now) {
                self.settle(id, now, host);
                return false;
            }
            self.remove(id, host);
        } else if is_repeated {
            if !session.is_established() {
                session.repeat_opening(now);
                self.settle(id, now, host);
            }
            return false;
        } else if session.status() == &Status::Committing {
            // Its data is complete: it ends by its commit (T25).
            let route = session.route;
            session.detached = true;
            self.sessions.detach(id, &route);
        } else {
            session.fail(Failure::Replaced);
            self.abandon(id, &Failure::Replaced, now, host);
        }
        true
    }

    /// Sends an ERROR; with `limited`, within the rate limit. Returns whether it was sent.
    fn send_error(
        &mut self,
        port: PortId,
        route: &Route,
        failure: &Failure,
        limited: Option<Instant>,
        host: &mut dyn Host,
    ) -> bool {
        let Some((code, message)) = failure.reply() else { return false };
        if limited.is_some_and(|now| !self.errors.take(route.peer.ip(), now)) {
            return false;
        }
        let mut bytes = Vec::with_capacity(64);
        Packet::Error { code, message: message.as_bytes() }.encode(&mut bytes);
        // An ERROR is sent once; if it is lost, the peer's own timer ends the transfer.
        let _ = host.send(port, route, Datagrams::one(&bytes));
        true
    }

    /// Sends the packets of a session that are due, and updates its state and its deadline.
    fn settle(&mut self, id: TransferId, now: Instant, host: &mut dyn Host) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.announced && session.is_established() {
            self.establish(id, host);
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.pump(&mut self.buffer, now, host);
        match session.status().clone() {
            Status::Done => {
                if !self.sessions.is_dallying(id) {
                    self.report_success(id, now, host);
                }
                self.remove(id, host);
            }
            Status::Failed(_) if self.sessions.is_dallying(id) => {
                if self.sessions.get(id).is_some_and(|session| now >= session.end_by) {
                    self.remove(id, host);
                } else {
                    self.sessions.schedule(id);
                }
            }
            Status::Failed(failure) => self.abandon(id, &failure, now, host),
            Status::Active | Status::Committing | Status::Dallying => self.sessions.schedule(id),
        }
    }

    /// Records that the client has answered: the session is now in progress, within the limit.
    fn establish(&mut self, id: TransferId, host: &mut dyn Host) {
        let is_busy = self.sessions.count_active() >= self.admission.config.limits.transfers;
        self.sessions.establish(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.announced = true;
        host.event(session.started_event());
        if is_busy {
            session.fail(Failure::local(ErrorCode::UNDEFINED, "server is busy"));
        }
    }

    fn report_success(&self, id: TransferId, now: Instant, host: &mut dyn Host) {
        if let Some(session) = self.sessions.get(id) {
            session.log(&"ok", now);
            host.event(session.finished_event(now));
        }
    }

    /// Ends a session that has failed.
    fn abandon(&mut self, id: TransferId, failure: &Failure, now: Instant, host: &mut dyn Host) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let (port, route, announced) = (session.port, session.route, session.announced);
        let detached = session.detached;
        // An unfinished upload is deleted before its client is sent the ERROR.
        session.discard();
        session.log(failure, now);
        if announced {
            host.event(session.failed_event(failure.clone(), now));
        }
        // T6: the address of a client that has never answered may be forged.
        let was_told = !detached
            && (announced || failure != &Failure::TimedOut)
            && self.send_error(port, &route, failure, None, host);
        if was_told && announced && !self.draining {
            self.linger(id, now);
        } else {
            self.remove(id, host);
        }
    }

    /// Keeps the port of a failed transfer open for a while: the report of a closed port, caused by
    /// a packet that the client has sent meanwhile, would hide the ERROR from the client.
    fn linger(&mut self, id: TransferId, now: Instant) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.end_by = now + LINGER;
        self.admission.release_buffer(session);
        self.sessions.dally(id);
        self.sessions.schedule(id);
    }

    fn remove(&mut self, id: TransferId, host: &mut dyn Host) {
        self.admission.remove(&mut self.sessions, id, host);
    }
}

fn report_refusal(
    request: &Request<'_>,
    route: &Route,
    failure: &Failure,
    code: ErrorCode,
    host: &mut dyn Host,
) {
    let file = String::from_utf8_lossy(request.name);
    let file: String = file.chars().filter(|c| !c.is_control()).collect();
    let (peer, direction) = (route.peer, request.direction);
    log::debug!("request refused: peer={peer} file={file:?} {failure}");
    host.event(Event::Refused { peer, direction, file, code });
}

fn is_request(datagram: &[u8]) -> bool {
    matches!(datagram, [0, 1 | 2, ..])
}

/// Returns whether a packet without a transfer may be answered with an ERROR: an ERROR never is.
fn may_be_answered(datagram: &[u8]) -> bool {
    matches!(Packet::decode(datagram), Ok(packet) if !matches!(packet, Packet::Error { .. }))
}
