//! Which requests begin a session, and with which options.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::host::Host;
use super::session::{Session, Transfer};
use super::session_table::SessionTable;
use crate::config::ServerConfig;
use crate::protocol::{
    BlockSize, Direction, ErrorCode, MAX_TIME, Opening, OptionLimits, Options, Parameters, PortId,
    ReceiveTransfer, Request, RequestPath, Rollover, Route, SendTransfer, TransferId,
    datagram_cost,
};
use crate::store::{ReadRequest, Sink, Source, Store, StoreError, WriteRequest};

/// The code and the message of the ERROR that refuses a request.
pub(super) type Refusal = (ErrorCode, &'static str);

const BUSY: Refusal = (ErrorCode::UNDEFINED, "server is busy");

/// The lengths of the headers of IP (without options), UDP and TFTP together, in bytes.
const HEADERS_V4: u32 = 20 + 8 + 4;
const HEADERS_V6: u32 = 40 + 8 + 4;
/// A block size that fits each link that carries IPv6 (1280 bytes, RFC 8200 section 5); practically
/// those of IPv4 too.
const ALWAYS_FITS: BlockSize = const { BlockSize::new(1280 - 52).expect("a block size") };

/// What the process and the kernel provide to an [`Engine`](crate::Engine).
///
/// ```
/// let resources = bbot_tftp::Resources::default().with_max_sessions(100);
/// assert_eq!(resources.listener_buffer, 212_992);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Resources {
    /// The size of the listener's receive buffer, in bytes, as the kernel counts it; by default
    /// that of Linux. In single-port mode, the uploads share it (T11).
    pub listener_buffer: usize,
    /// The number of sessions of all kinds that there are file descriptors for; by default
    /// unlimited.
    pub max_sessions: usize,
}

impl Default for Resources {
    fn default() -> Self {
        Self { listener_buffer: 212_992, max_sessions: usize::MAX }
    }
}

impl Resources {
    /// Sets [`listener_buffer`](Self::listener_buffer).
    #[must_use]
    pub const fn with_listener_buffer(self, listener_buffer: usize) -> Self {
        Self { listener_buffer, ..self }
    }

    /// Sets [`max_sessions`](Self::max_sessions).
    #[must_use]
    pub const fn with_max_sessions(self, max_sessions: usize) -> Self {
        Self { max_sessions, ..self }
    }
}

/// Begins sessions within the limits, and releases what they have used.
pub(super) struct Admission {
    pub(super) config: ServerConfig,
    store: Box<dyn Store>,
    /// The bytes of the listener's receive buffer that are not reserved for a session.
    listener_buffer: usize,
    max_sessions: usize,
    next_id: TransferId,
}

impl Admission {
    pub(super) fn new(config: ServerConfig, store: Box<dyn Store>, resources: Resources) -> Self {
        let Resources { listener_buffer, max_sessions } = resources;
        Self { config, store, listener_buffer, max_sessions, next_id: TransferId::FIRST }
    }

    /// Begins a session for a request.
    pub(super) fn admit(
        &mut self,
        sessions: &mut SessionTable,
        request: &Request<'_>,
        datagram: &[u8],
        route: &Route,
        now: Instant,
        host: &mut dyn Host,
    ) -> Result<TransferId, Refusal> {
        if !request.is_octet() {
            return Err((ErrorCode::ILLEGAL, "only octet mode is served"));
        }
        self.make_space(sessions, route.peer.ip(), host)?;
        let path = self.path(request.name).ok_or((ErrorCode::ACCESS, "access violation"))?;
        let requested = Options::parse(&request.options);
        let opened = self.open(request.direction, &path, route.peer, &requested);
        let opened = opened.map_err(|error| error.reply())?;
        let id = self.next_id;
        let buffer = self.open_port(id, route, &requested, &opened, host)?;
        self.next_id = id.next();
        let max_block_size = self.max_block_size(&requested, route, host);
        let limits = self.option_limits(&requested, &opened, max_block_size, buffer);
        let granted = requested.negotiate(limits, opened.size());
        let answer_within = self.answer_limit(&granted).min(MAX_TIME);
        sessions.insert(Session {
            id,
            // T1: each transfer has a new port, unless all share the listener.
            port: if self.config.single_port { PortId::Listener } else { PortId::Transfer(id) },
            route: *route,
            file: path.as_str().to_owned(),
            reserved: self.reserve_buffer(&granted, &opened),
            transfer: opened.begin(&granted, self.config.rollover, self.config.limits.idle, now),
            granted,
            request: datagram.to_vec(),
            started: now,
            answer_by: now + answer_within,
            answer_within,
            end_by: now + self.config.limits.total.min(MAX_TIME),
            scheduled: None,
            announced: false,
            doubled: None,
            detached: false,
        });
        Ok(id)
    }

    /// The path that a name in a request stands for; T31 about backslashes.
    fn path(&self, name: &[u8]) -> Option<RequestPath> {
        if self.config.backslashes {
            RequestPath::parse(&name.iter().copied().map(slash).collect::<Vec<_>>())
        } else {
            RequestPath::parse(name)
        }
    }

    fn open(
        &self,
        direction: Direction,
        path: &RequestPath,
        peer: SocketAddr,
        requested: &Options,
    ) -> Result<Opened, StoreError> {
        match direction {
            Direction::Get => self.store.open(&ReadRequest::new(path, peer)).map(Opened::Read),
            Direction::Put => {
                let declared_size = requested.transfer_size;
                self.store.create(&WriteRequest { path, peer, declared_size }).map(Opened::Write)
            }
        }
    }

    /// Removes a session and releases what it has used.
    pub(super) fn remove(
        &mut self,
        sessions: &mut SessionTable,
        id: TransferId,
        host: &mut dyn Host,
    ) {
        let Some(mut session) = sessions.remove(id) else { return };
        self.release_buffer(&mut session);
        if !self.config.single_port {
            host.close_port(id);
        }
    }

    /// Releases the part of the listener's receive buffer that was reserved for a session.
    pub(super) fn release_buffer(&mut self, session: &mut Session) {
        self.listener_buffer += std::mem::take(&mut session.reserved);
    }

    /// Checks the limits (T6); dallying (T24) and half-open sessions are removed for a new one.
    fn make_space(
        &mut self,
        sessions: &mut SessionTable,
        peer: IpAddr,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let limits = self.config.limits;
        if sessions.count_active() >= limits.transfers || sessions.count_of(peer) >= limits.per_peer
        {
            return Err(BUSY);
        }
        while sessions.count_dallying() > limits.dallying
            && let Some(oldest) = sessions.oldest_dallying()
        {
            self.remove(sessions, oldest, host);
        }
        while sessions.count_half_open() >= limits.half_open.max(1)
            && let Some(oldest) = sessions.oldest_half_open()
        {
            self.remove(sessions, oldest, host);
        }
        while sessions.count() >= self.max_sessions {
            let oldest = sessions.oldest_dallying().or_else(|| sessions.oldest_half_open());
            self.remove(sessions, oldest.ok_or(BUSY)?, host);
        }
        Ok(())
    }

    /// Opens the session's port, unless it uses the listener; returns the size of the receive
    /// buffer.
    fn open_port(
        &self,
        id: TransferId,
        route: &Route,
        requested: &Options,
        opened: &Opened,
        host: &mut dyn Host,
    ) -> Result<usize, Refusal> {
        if self.config.single_port {
            return Ok(self.listener_buffer);
        }
        let has_window = requested.window_size.is_some_and(|blocks| blocks.get() > 1);
        let receives_windows = has_window && matches!(opened, Opened::Write(_));
        let buffer = if receives_windows { self.config.receive_buffer } else { 0 };
        host.open_port(id, route, buffer).map_err(|error| {
            log::debug!("cannot open a port for {}: {error}", route.peer);
            BUSY
        })
    }

    /// The largest block size that may be granted: the configured one (T12), and one that makes no
    /// fragments (T30).
    fn max_block_size(&self, requested: &Options, route: &Route, host: &mut dyn Host) -> BlockSize {
        let configured = self.config.max_block_size;
        let wanted = requested.block_size.unwrap_or_default().min(configured);
        if self.config.fragments || wanted <= ALWAYS_FITS {
            return configured;
        }
        let Some(mtu) = host.mtu(route) else { return configured };
        let is_v4 = route.peer.ip().to_canonical().is_ipv4();
        let headers = if is_v4 { HEADERS_V4 } else { HEADERS_V6 };
        let bytes = mtu.saturating_sub(headers).min(u16::from(BlockSize::MAX).into());
        let fitting = u16::try_from(bytes).ok().and_then(BlockSize::new);
        configured.min(fitting.unwrap_or_default())
    }

    /// The greatest values that may be granted: a block size, and a window that fits the receive
    /// buffer (T11).
    fn option_limits(
        &self,
        requested: &Options,
        opened: &Opened,
        max_block_size: BlockSize,
        buffer: usize,
    ) -> OptionLimits {
        let block_size = requested.block_size.unwrap_or_default().min(max_block_size);
        let mut blocks = self.config.max_window_bytes / usize::from(block_size);
        if matches!(opened, Opened::Write(_)) {
            blocks = blocks.min(buffer / datagram_cost(block_size));
        }
        let blocks = u16::try_from(blocks).unwrap_or(u16::MAX);
        let window_size = NonZeroU16::new(blocks).unwrap_or(NonZeroU16::MIN);
        OptionLimits::new(max_block_size, window_size.min(self.config.max_window_size))
    }

    /// In single-port mode, all uploads share one receive buffer: reserves the bytes of a window.
    fn reserve_buffer(&mut self, granted: &Options, opened: &Opened) -> usize {
        if !self.config.single_port || !matches!(opened, Opened::Write(_)) {
            return 0;
        }
        let cost = datagram_cost(granted.block_size.unwrap_or_default());
        let blocks = granted.window_size.unwrap_or(NonZeroU16::MIN).get();
        let reserved = (cost * usize::from(blocks)).min(self.listener_buffer);
        self.listener_buffer -= reserved;
        reserved
    }

    /// The time that a client has for its first answer: at least three of its timeouts.
    fn answer_limit(&self, granted: &Options) -> Duration {
        let timeout = granted.timeout.map_or(0, |seconds| u64::from(seconds.get()));
        self.config.limits.first_answer.max(Duration::from_secs(3 * timeout))
    }
}

fn slash(byte: u8) -> u8 {
    if byte == b'\\' { b'/' } else { byte }
}

/// The file of a request.
enum Opened {
    Read(Box<dyn Source>),
    Write(Box<dyn Sink>),
}

impl Opened {
    /// The true size of a file that is read.
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
        idle_limit: Duration,
        now: Instant,
    ) -> Transfer {
        let parameters = Parameters::new(granted, rollover, idle_limit);
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
