//! The client's end of a transfer: the request, then one of the two state machines.

use std::time::{Duration, Instant};

use super::numbering::Rollover;
use super::options::Options;
use super::packet::{Direction, ErrorCode, MAX_REQUEST, Packet, Request};
use super::receive::{ReceiveStep, ReceiveTransfer};
use super::send::{SendStep, SendTransfer};
use super::timing::{Expiry, Role, Timing};
use super::transfer::{Failure, Opening, Parameters, Status};

/// What a client requests, and its limits.
///
/// ```
/// use bbot_tftp::{BlockSize, ClientParameters, Options};
/// let options = Options { block_size: BlockSize::new(1428), ..Options::default() };
/// let parameters = ClientParameters::default().with_options(options);
/// assert_eq!(parameters.idle_limit.as_secs(), 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientParameters {
    /// The options that are requested; by default none.
    pub options: Options,
    /// The number on the wire that follows 65535.
    pub rollover: Rollover,
    /// The maximum time without progress; by default 30 s.
    pub idle_limit: Duration,
}

impl Default for ClientParameters {
    fn default() -> Self {
        Self {
            options: Options::default(),
            rollover: Rollover::Zero,
            idle_limit: Duration::from_secs(30),
        }
    }
}

impl ClientParameters {
    /// Sets [`options`](Self::options).
    #[must_use]
    pub const fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Sets [`rollover`](Self::rollover).
    #[must_use]
    pub const fn with_rollover(self, rollover: Rollover) -> Self {
        Self { rollover, ..self }
    }

    /// Sets [`idle_limit`](Self::idle_limit).
    #[must_use]
    pub const fn with_idle_limit(self, idle_limit: Duration) -> Self {
        Self { idle_limit, ..self }
    }
}

/// Requests a transfer from a server and carries it out. It performs no I/O and reads no clock.
///
/// It is driven like [`SendTransfer`] and [`ReceiveTransfer`], by [`handle`](Self::handle) for each
/// datagram. Once [`is_answered`](Self::is_answered) returns true, the caller passes no datagrams
/// but those of the address and port that sent the answer, which is the server's transfer ID.
///
/// ```
/// use bbot_tftp::{ClientParameters, ClientStep, ClientTransfer, Status};
/// use std::time::Instant;
/// let now = Instant::now();
/// let mut transfer = ClientTransfer::get("motd", ClientParameters::default(), now);
/// assert_eq!(transfer.poll_transmit(now), Some(ClientStep::Request));
/// assert_eq!(transfer.request(), b"\0\x01motd\0octet\0");
/// let payload = transfer.handle(b"\0\x03\0\x01hello", now);
/// assert_eq!(payload, Some(&b"hello"[..])); // Write it.
/// assert_eq!(transfer.status(), &Status::Committing);
/// transfer.committed(now);
/// assert_eq!(transfer.poll_transmit(now), Some(ClientStep::Ack(1)));
/// ```
#[derive(Clone, Debug)]
pub struct ClientTransfer {
    direction: Direction,
    parameters: ClientParameters,
    /// The length of the file that is sent.
    size: u64,
    request: Vec<u8>,
    granted: Options,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// The request is not answered.
    Requesting {
        /// The request is to be sent.
        due: bool,
        timing: Timing,
        attempts: Attempts,
    },
    Sending(SendTransfer),
    Receiving(ReceiveTransfer),
    /// The transfer failed before it began.
    Failed(Status),
}

/// How often the request was sent: only the answer to a single one gives the round-trip time.
#[derive(Clone, Copy, Debug)]
enum Attempts {
    None,
    One(Instant),
    Several,
}

/// The space that the mode and the options of a request take at most, in bytes.
const MODE_AND_OPTIONS: usize = 128;

/// Returns whether a request can have this name: a NUL would end it, and what follows would be read
/// as the mode and as options (T36).
pub(crate) fn may_be_requested(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && name.len() <= MAX_REQUEST - MODE_AND_OPTIONS
}

/// What a [`ClientTransfer`] has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientStep {
    /// The request.
    Request,
    /// An ACK with this number.
    Ack(u16),
    /// A run of DATA blocks.
    Blocks {
        /// The first block's number, from 1.
        first: u64,
        /// The number of blocks; at least 1.
        count: u16,
    },
}

impl ClientTransfer {
    /// Begins to request the file `name`. With a name that no request can have (T36), the transfer
    /// has failed at once.
    pub fn get(name: &str, parameters: ClientParameters, now: Instant) -> Self {
        Self::new(Direction::Get, name, 0, parameters, now)
    }

    /// Begins to offer a file of `size` bytes under the name `name`; as [`get`](Self::get).
    ///
    /// Where the option `tsize` is requested, its value is replaced by `size`.
    pub fn put(name: &str, size: u64, mut parameters: ClientParameters, now: Instant) -> Self {
        let transfer_size = &mut parameters.options.transfer_size;
        *transfer_size = transfer_size.map(|_| size);
        Self::new(Direction::Put, name, size, parameters, now)
    }

    fn new(
        direction: Direction,
        name: &str,
        size: u64,
        parameters: ClientParameters,
        now: Instant,
    ) -> Self {
        let pairs = parameters.options.to_pairs();
        let options = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let is_possible = may_be_requested(name);
        let name = name.as_bytes();
        let mut request = Vec::new();
        Packet::Request(Request { direction, name, mode: b"octet", options }).encode(&mut request);
        let timing = Timing::new(Role::Sender, None, parameters.idle_limit, now);
        let state = if is_possible {
            State::Requesting { due: true, timing, attempts: Attempts::None }
        } else {
            let failure = Failure::local(ErrorCode::ILLEGAL, "name not possible");
            State::Failed(Status::Failed(failure))
        };
        Self { direction, parameters, size, request, granted: Options::default(), state }
    }

    /// Handles a datagram of the server. Returns a payload that is to be appended to the file.
    pub fn handle<'a>(&mut self, datagram: &'a [u8], now: Instant) -> Option<&'a [u8]> {
        let packet = Packet::decode(datagram).ok()?;
        if let Packet::Error { code, message } = packet {
            self.fail(Failure::peer(code, message));
            return None;
        }
        if matches!(self.state, State::Requesting { .. }) {
            self.handle_answer(&packet, now);
        } else if let Packet::OptionAck(_) = packet {
            self.handle_repeated_answer(now);
        }
        match (&mut self.state, packet) {
            (State::Receiving(core), Packet::Data { block, payload }) => {
                core.handle_data(block, payload.len(), now).map(|_| payload)
            }
            (State::Sending(core), Packet::Ack { block }) => {
                core.handle_ack(block, now);
                None
            }
            _ => None,
        }
    }

    /// Records that the received file is stored: the last block is acknowledged.
    pub fn committed(&mut self, now: Instant) {
        if let State::Receiving(core) = &mut self.state {
            core.committed(now);
        }
    }

    /// Ends the transfer as failed, unless it has ended.
    pub fn fail(&mut self, failure: Failure) {
        match &mut self.state {
            State::Requesting { .. } => self.state = State::Failed(Status::Failed(failure)),
            State::Sending(core) => core.fail(failure),
            State::Receiving(core) => core.fail(failure),
            State::Failed(_) => {}
        }
    }

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout); before it, this does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Requesting { due, timing, .. } => match timing.expire(now) {
                Expiry::Early => {}
                Expiry::Again => *due = true,
                Expiry::GiveUp => self.fail(Failure::TimedOut),
            },
            State::Sending(core) => core.handle_timeout(now),
            State::Receiving(core) => core.handle_timeout(now),
            State::Failed(_) => {}
        }
    }

    /// Returns what is to be sent at the time `now`; blocks are to be confirmed by
    /// [`transmitted`](Self::transmitted).
    pub fn poll_transmit(&mut self, now: Instant) -> Option<ClientStep> {
        match &mut self.state {
            State::Requesting { due, timing, attempts } => {
                timing.arm(now);
                if !std::mem::take(due) {
                    return None;
                }
                *attempts = match attempts {
                    Attempts::None => Attempts::One(now),
                    Attempts::One(_) | Attempts::Several => Attempts::Several,
                };
                Some(ClientStep::Request)
            }
            State::Sending(core) => match core.poll_transmit(now)? {
                SendStep::Blocks { first, count } => Some(ClientStep::Blocks { first, count }),
                SendStep::OptionAck => None,
            },
            State::Receiving(core) => match core.poll_transmit(now)? {
                ReceiveStep::Ack(block) => Some(ClientStep::Ack(block)),
                ReceiveStep::OptionAck => None,
            },
            State::Failed(_) => None,
        }
    }

    /// Confirms that the first `count` blocks of the step were sent.
    pub fn transmitted(&mut self, count: u16, now: Instant) {
        if let State::Sending(core) = &mut self.state {
            core.transmitted(count, now);
        }
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) and then
    /// [`poll_transmit`](Self::poll_transmit) are due, if any.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Requesting { timing, .. } => timing.deadline(),
            State::Sending(core) => core.poll_timeout(),
            State::Receiving(core) => core.poll_timeout(),
            State::Failed(_) => None,
        }
    }

    /// The state of the transfer.
    pub fn status(&self) -> &Status {
        match &self.state {
            State::Requesting { .. } => &Status::Active,
            State::Sending(core) => core.status(),
            State::Receiving(core) => core.status(),
            State::Failed(status) => status,
        }
    }

    /// Returns whether the server has answered the request.
    pub fn is_answered(&self) -> bool {
        !matches!(self.state, State::Requesting { .. })
    }

    /// The request, as it is sent.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The options that the server granted.
    pub fn granted(&self) -> &Options {
        &self.granted
    }

    /// The sending end, after an upload has begun: it gives the offsets and the numbers of blocks.
    pub fn sending(&mut self) -> Option<&mut SendTransfer> {
        if let State::Sending(core) = &mut self.state { Some(core) } else { None }
    }

    /// The number of the file's bytes that were received, or that the server has acknowledged.
    pub fn bytes(&self) -> u64 {
        match &self.state {
            State::Sending(core) => core.acknowledged(),
            State::Receiving(core) => core.received(),
            State::Requesting { .. } | State::Failed(_) => 0,
        }
    }

    /// The number of packets that were sent more than once.
    pub fn retransmits(&self) -> u64 {
        match &self.state {
            State::Sending(core) => core.retransmits(),
            State::Receiving(core) => core.retransmits(),
            State::Requesting { .. } | State::Failed(_) => 0,
        }
    }

    /// Handles the server's first packet, which determines the options that are in use.
    fn handle_answer(&mut self, packet: &Packet<'_>, now: Instant) {
        match (self.direction, packet) {
            (_, Packet::OptionAck(pairs)) => {
                let granted = Options::parse(pairs);
                // An option that could not be parsed, or is unknown, was not requested either.
                if granted.to_pairs().len() != pairs.len()
                    || !self.parameters.options.allows(&granted)
                {
                    let failure = Failure::local(ErrorCode::OPTION, "option not acceptable");
                    return self.fail(failure);
                }
                self.granted = granted;
                self.begin(now);
            }
            (Direction::Get, Packet::Data { block: 1, .. }) => {
                let core = ReceiveTransfer::answered(self.agreed(), now);
                self.state = State::Receiving(core.with_round_trip(self.round_trip(now)));
            }
            (Direction::Put, Packet::Ack { block: 0 }) => self.begin(now),
            _ => {}
        }
    }

    fn begin(&mut self, now: Instant) {
        let (parameters, opening) = (self.agreed(), Opening::Plain);
        let trip = self.round_trip(now);
        self.state = match self.direction {
            Direction::Get => {
                let core = ReceiveTransfer::new(parameters, opening, now);
                State::Receiving(core.with_round_trip(trip))
            }
            Direction::Put => {
                let core = SendTransfer::new(parameters, self.size, opening, now);
                State::Sending(core.with_round_trip(trip))
            }
        };
    }

    /// The time from the request to its answer, if the request was sent once.
    fn round_trip(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Requesting { attempts: Attempts::One(at), .. } => {
                Some(now.saturating_duration_since(at))
            }
            _ => None,
        }
    }

    /// Handles a repeated OACK: the answer to it was lost.
    fn handle_repeated_answer(&mut self, now: Instant) {
        match &mut self.state {
            State::Receiving(core) => core.repeat_opening(),
            // It takes the place of ACK 0.
            State::Sending(core) if !core.is_established() => core.handle_ack(0, now),
            _ => {}
        }
    }

    fn agreed(&self) -> Parameters {
        let ClientParameters { rollover, idle_limit, .. } = self.parameters;
        Parameters::new(&self.granted, rollover, idle_limit)
    }
}
