//! Which requests begin a transfer, and with what.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Engine, Host, LISTENER};
use crate::config::{Route, buffer_cost};
use crate::event::Event;
use crate::numbering::Rollover;
use crate::options::{DEFAULT_BLOCK_SIZE, Grant, Options};
use crate::packet::{Direction, ErrorCode, Request};
use crate::path::RequestPath;
use crate::receive::ReceiveTransfer;
use crate::send::SendTransfer;
use crate::session::{Session, Transfer};
use crate::store::{Sink, Source, Store, StoreError};
use crate::transfer::{Failure, Opening, Parameters};

impl Engine {
    pub(super) fn handle_request(
        &mut self,
        request: &Request<'_>,
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
        request: &Request<'_>,
        datagram: &[u8],
        route: &Route,
        now: Instant,
        host: &mut dyn Host,
    ) -> Result<u64, (ErrorCode, &'static str)> {
        if !request.is_octet() {
            return Err((ErrorCode::ILLEGAL, "only octet mode is served"));
        }
        self.make_room(route.peer.ip(), host)?;
        let path =
            RequestPath::parse(request.name).ok_or((ErrorCode::ACCESS, "access violation"))?;
        let asked = Options::parse(&request.options);
        let id = self.next_id;
        let opened = Opened::new(self.store.as_ref(), request.direction, &path, &asked);
        let opened = opened.map_err(|error| error.reply())?;
        let room = self.open_port(id, route, &asked, &opened, host)?;
        self.next_id += 1;
        let granted = asked.negotiate(self.grant(&asked, &opened, room), opened.size());
        let reserved = self.reserve(&granted, &opened);
        let limits = &self.config.limits;
        let answer = limits
            .first_answer
            .max(Duration::from_secs(granted.timeout.map_or(0, |seconds| 3 * u64::from(seconds))));
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
    Read(Box<dyn Source>),
    Write(Box<dyn Sink>),
}

impl Opened {
    fn new(
        store: &dyn Store,
        direction: Direction,
        path: &RequestPath,
        asked: &Options,
    ) -> Result<Self, StoreError> {
        match direction {
            Direction::Get => store.open(path).map(Self::Read),
            Direction::Put => store.create(path, asked.transfer_size).map(Self::Write),
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
        rollover: Rollover,
        patience: Duration,
        now: Instant,
    ) -> Transfer {
        let parameters = Parameters::new(granted, rollover, patience);
        let opening = if granted.is_empty() { Opening::Plain } else { Opening::OptionAck };
        match self {
            Self::Read(source) => {
                let core = SendTransfer::new(parameters, source.size(), opening, now);
                Transfer::Send { core, source }
            }
            Self::Write(sink) => {
                let core = ReceiveTransfer::new(parameters, opening, now);
                Transfer::Receive { core, sink: Some(sink) }
            }
        }
    }
}
