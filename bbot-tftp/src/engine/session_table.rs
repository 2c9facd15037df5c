//! The sessions of a server, by what they are looked up by.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::session::Session;
use crate::protocol::{Route, TransferId, TransferMap};

/// All sessions. A session is in progress, half-open (its client has not answered) or dallying (it
/// has ended, but still answers repeated packets).
#[derive(Debug, Default)]
pub(super) struct SessionTable {
    sessions: TransferMap<Session>,
    routes: BTreeMap<Route, TransferId>,
    /// The number of sessions of each address, without those that dally.
    peers: HashMap<IpAddr, usize>,
    /// Identifiers increase, so that the first one is the oldest.
    half_open: BTreeSet<TransferId>,
    dallying: BTreeSet<TransferId>,
    timers: BTreeSet<(Instant, TransferId)>,
}

impl SessionTable {
    pub(super) fn get(&self, id: TransferId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TransferId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// The session of a client that sends from `route.peer` to `route.local`.
    pub(super) fn by_route(&self, route: &Route) -> Option<TransferId> {
        self.routes.get(route).copied()
    }

    /// The sessions of a client, whatever local address it sends to.
    pub(super) fn by_client(&self, peer: SocketAddr) -> impl Iterator<Item = TransferId> {
        let first = Route::new(peer);
        let routes = self.routes.range(first..).take_while(move |(route, _)| route.peer == peer);
        routes.map(|(_, id)| *id)
    }

    pub(super) fn ids(&self) -> Vec<TransferId> {
        self.sessions.keys().copied().collect()
    }

    /// Adds a half-open session.
    pub(super) fn insert(&mut self, session: Session) {
        let (id, route) = (session.id, session.route);
        self.sessions.insert(id, session);
        self.routes.insert(route, id);
        self.half_open.insert(id);
        *self.peers.entry(route.peer.ip()).or_default() += 1;
    }

    pub(super) fn remove(&mut self, id: TransferId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.half_open.remove(&id);
        self.detach(id, &session.route);
        if let Some(at) = session.scheduled {
            self.timers.remove(&(at, id));
        }
        if !self.dallying.remove(&id) {
            self.discount(session.route.peer.ip());
        }
        Some(session)
    }

    /// Separates a session from its client: the client's packets and requests belong to it no more.
    pub(super) fn detach(&mut self, id: TransferId, route: &Route) {
        // Another session of this client may have taken its place.
        if self.by_route(route) == Some(id) {
            self.routes.remove(route);
        }
    }

    fn discount(&mut self, peer: IpAddr) {
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    /// Records that the client has answered.
    pub(super) fn establish(&mut self, id: TransferId) {
        self.half_open.remove(&id);
    }

    /// Records that the session has ended, but remains for a while. From now on it does not count
    /// as one of its client's (T6).
    pub(super) fn dally(&mut self, id: TransferId) {
        let peer = self.sessions.get(&id).map(|session| session.route.peer.ip());
        if let Some(peer) = peer
            && self.dallying.insert(id)
        {
            self.discount(peer);
        }
    }

    pub(super) fn is_dallying(&self, id: TransferId) -> bool {
        self.dallying.contains(&id)
    }

    /// Queues the session's deadline. Where it has moved later, the queued one remains until it is
    /// reached.
    pub(super) fn schedule(&mut self, id: TransferId) {
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

    /// The earliest deadline.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes a session whose deadline is reached out of the queue.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<TransferId> {
        let &(at, id) = self.timers.first().filter(|(at, _)| *at <= now)?;
        self.timers.remove(&(at, id));
        if let Some(session) = self.sessions.get_mut(&id) {
            session.scheduled = None;
        }
        Some(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The number of all sessions.
    pub(super) fn count(&self) -> usize {
        self.sessions.len()
    }

    /// The number of sessions in progress.
    pub(super) fn count_active(&self) -> usize {
        self.sessions.len() - self.half_open.len() - self.dallying.len()
    }

    pub(super) fn count_half_open(&self) -> usize {
        self.half_open.len()
    }

    pub(super) fn count_dallying(&self) -> usize {
        self.dallying.len()
    }

    /// The number of sessions of an address that are in progress or half-open.
    pub(super) fn count_of(&self, peer: IpAddr) -> usize {
        self.peers.get(&peer).copied().unwrap_or(0)
    }

    pub(super) fn oldest_half_open(&self) -> Option<TransferId> {
        self.half_open.first().copied()
    }

    pub(super) fn oldest_dallying(&self) -> Option<TransferId> {
        self.dallying.first().copied()
    }
}
