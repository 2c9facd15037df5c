//! The client's end of a transfer: the request, then one of the two state machines.

use std::time::{Duration, Instant};

use crate::numbering::Rollover;
use crate::options::Options;
use crate::packet::{Direction, ErrorCode, Packet, Request};
use crate::receive::{ReceiveStep, ReceiveTransfer};
use crate::send::{SendStep, SendTransfer};
use crate::timing::{Expiry, Role, Timing};
use crate::transfer::{Failure, Opening, Parameters, Status};

/// Asks a server for a transfer and carries it out. It does no I/O and reads no clock.
///
/// It is driven like [`SendTransfer`] and [`ReceiveTransfer`]. The owner remembers who sent the
/// first packet that made [`is_answered`](Self::is_answered) true, and feeds it no others.
#[derive(Clone, Debug)]
pub struct ClientTransfer {
    direction: Direction,
    asked: Options,
    size: u64,
    rollover: Rollover,
    patience: Duration,
    request: Vec<u8>,
    granted: Options,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// The request is not answered; `due`: it has to be sent (again).
    Asking {
        due: bool,
        timing: Timing,
        /// When it was sent, as long as that was done once.
        sent: Sending,
    },
    Sending(SendTransfer),
    Receiving(ReceiveTransfer),
    /// The server refused, or was silent, or its answer made no sense.
    Refused(Status),
}

/// How often the request was sent: only the answer to a single one tells the round trip.
#[derive(Clone, Copy, Debug)]
enum Sending {
    Never,
    Once(Instant),
    Often,
}

/// What a [`ClientTransfer`] wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStep {
    /// The request.
    Request,
    /// An ACK with this number.
    Ack(u16),
    /// A run of DATA blocks: the first, and how many.
    Blocks(u64, u16),
}

impl ClientTransfer {
    /// Begins to ask for a file, or to offer one of `size` bytes.
    pub fn new(
        direction: Direction,
        name: &str,
        asked: Options,
        size: u64,
        rollover: Rollover,
        patience: Duration,
        now: Instant,
    ) -> Self {
        let pairs = asked.to_pairs();
        let options = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let name = name.as_bytes();
        let mut request = Vec::new();
        Packet::Request(Request { direction, name, mode: b"octet", options }).encode(&mut request);
        let timing = Timing::new(Role::Sender, None, patience, now);
        let state = State::Asking { due: true, timing, sent: Sending::Never };
        let granted = Options::default();
        Self { direction, asked, size, rollover, patience, request, granted, state }
    }

    /// Feeds a datagram; returns a payload that is to be written after those before it.
    pub fn handle<'a>(&mut self, datagram: &'a [u8], now: Instant) -> Option<&'a [u8]> {
        let packet = Packet::decode(datagram).ok()?;
        if let Packet::Error { code, message } = packet {
            self.fail(Failure::peer(code, message));
            return None;
        }
        if matches!(self.state, State::Asking { .. }) {
            self.answer(&packet, now);
        } else if let Packet::OptionAck(_) = packet {
            self.answered_again(now);
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

    /// The received file is stored.
    pub fn committed(&mut self, now: Instant) {
        if let State::Receiving(core) = &mut self.state {
            core.committed(now);
        }
    }

    /// Ends the transfer early.
    pub fn fail(&mut self, failure: Failure) {
        match &mut self.state {
            State::Asking { .. } => self.state = State::Refused(Status::Failed(failure)),
            State::Sending(core) => core.fail(failure),
            State::Receiving(core) => core.fail(failure),
            State::Refused(_) => {}
        }
    }

    /// Looks at the clock; to be called when [`poll_timeout`](Self::poll_timeout) is reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Asking { due, timing, .. } => match timing.expire(now) {
                Expiry::Early => {}
                Expiry::Again => *due = true,
                Expiry::GiveUp => self.fail(Failure::TimedOut),
            },
            State::Sending(core) => core.handle_timeout(now),
            State::Receiving(core) => core.handle_timeout(now),
            State::Refused(_) => {}
        }
    }

    /// Returns what is to be sent now; blocks have to be confirmed by
    /// [`transmitted`](Self::transmitted).
    pub fn poll_transmit(&mut self, now: Instant) -> Option<ClientStep> {
        match &mut self.state {
            State::Asking { due, timing, sent } => {
                timing.arm(now);
                if !std::mem::take(due) {
                    return None;
                }
                *sent = match sent {
                    Sending::Never => Sending::Once(now),
                    Sending::Once(_) | Sending::Often => Sending::Often,
                };
                Some(ClientStep::Request)
            }
            State::Sending(core) => match core.poll_transmit(now)? {
                SendStep::Blocks { first, count } => Some(ClientStep::Blocks(first, count)),
                SendStep::OptionAck => None,
            },
            State::Receiving(core) => match core.poll_transmit(now)? {
                ReceiveStep::Ack(block) => Some(ClientStep::Ack(block)),
                ReceiveStep::OptionAck => None,
            },
            State::Refused(_) => None,
        }
    }

    /// Confirms that the first `count` blocks of the step went out.
    pub fn transmitted(&mut self, count: u16, now: Instant) {
        if let State::Sending(core) = &mut self.state {
            core.transmitted(count, now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) or
    /// [`poll_transmit`](Self::poll_transmit) is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Asking { timing, .. } => timing.deadline(),
            State::Sending(core) => core.poll_timeout(),
            State::Receiving(core) => core.poll_timeout(),
            State::Refused(_) => None,
        }
    }

    /// Where the transfer stands.
    pub fn status(&self) -> &Status {
        match &self.state {
            State::Asking { .. } => &Status::Active,
            State::Sending(core) => core.status(),
            State::Receiving(core) => core.status(),
            State::Refused(status) => status,
        }
    }

    /// Tells whether the server has answered the request.
    pub fn is_answered(&self) -> bool {
        !matches!(self.state, State::Asking { .. })
    }

    /// The request's bytes.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The options that the server granted.
    pub fn granted(&self) -> &Options {
        &self.granted
    }

    /// The sending end, once an upload is under way.
    pub fn sending(&mut self) -> Option<&mut SendTransfer> {
        if let State::Sending(core) = &mut self.state { Some(core) } else { None }
    }

    /// The file's bytes that are known to have arrived, here or there.
    pub fn bytes(&self) -> u64 {
        match &self.state {
            State::Sending(core) => core.acknowledged(),
            State::Receiving(core) => core.received(),
            State::Asking { .. } | State::Refused(_) => 0,
        }
    }

    /// How many packets were sent again.
    pub fn retransmits(&self) -> u64 {
        match &self.state {
            State::Sending(core) => core.retransmits(),
            State::Receiving(core) => core.retransmits(),
            State::Asking { .. } | State::Refused(_) => 0,
        }
    }

    /// The first packet of the server decides which options are in use.
    fn answer(&mut self, packet: &Packet<'_>, now: Instant) {
        match (self.direction, packet) {
            (_, Packet::OptionAck(pairs)) => {
                let granted = Options::parse(pairs);
                // What could not be read, or is not ours, was not asked for either.
                if granted.to_pairs().len() != pairs.len() || !self.asked.allows(&granted) {
                    let refused = Failure::local(ErrorCode::OPTION, "option not acceptable");
                    return self.fail(refused);
                }
                self.granted = granted;
                self.begin(now);
            }
            (Direction::Get, Packet::Data { block: 1, .. }) => {
                let core = ReceiveTransfer::answered(self.parameters(), now);
                self.state = State::Receiving(core.with_round_trip(self.round_trip(now)));
            }
            (Direction::Put, Packet::Ack { block: 0 }) => self.begin(now),
            _ => {}
        }
    }

    fn begin(&mut self, now: Instant) {
        let (parameters, opening) = (self.parameters(), Opening::Plain);
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

    /// The time from the request to its answer.
    fn round_trip(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Asking { sent: Sending::Once(at), .. } => {
                Some(now.saturating_duration_since(at))
            }
            _ => None,
        }
    }

    /// The server repeats its OACK: our answer to it was lost.
    fn answered_again(&mut self, now: Instant) {
        match &mut self.state {
            State::Receiving(core) => core.repeat_opening(),
            // Stands for ACK 0.
            State::Sending(core) if !core.is_established() => core.handle_ack(0, now),
            _ => {}
        }
    }

    fn parameters(&self) -> Parameters {
        Parameters::new(&self.granted, self.rollover, self.patience)
    }
}
