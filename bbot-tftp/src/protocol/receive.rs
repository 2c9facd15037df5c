//! The end of a transfer that receives the file.

use std::time::{Duration, Instant};

use super::numbering::Rollover;
use super::packet::ErrorCode;
use super::timing::{Expiry, MAX_TIME, Role, Timing};
use super::transfer::{Failure, Opening, Parameters, Status};

/// The time after which a repeated block in a window is acknowledged, unless new blocks follow it.
const DUPLICATE_DELAY: Duration = Duration::from_millis(2);

/// What a [`ReceiveTransfer`] has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReceiveStep {
    /// The OACK.
    OptionAck,
    /// An ACK with this number.
    Ack(u16),
}

/// Receives one file. It performs no I/O and reads no clock.
///
/// The caller calls [`handle_data`](Self::handle_data) for each DATA packet and writes the payload
/// where that returns an offset; it calls [`fail`](Self::fail) to end the transfer, and
/// [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout). After each of
/// these it calls [`poll_transmit`](Self::poll_transmit), sends what that returns, and checks
/// [`status`](Self::status). The last block is not acknowledged before
/// [`committed`](Self::committed).
///
/// ```
/// use bbot_tftp::{Opening, Options, Parameters, ReceiveStep, ReceiveTransfer, Rollover, Status};
/// use std::time::{Duration, Instant};
/// let now = Instant::now();
/// let parameters = Parameters::new(&Options::default(), Rollover::Zero, Duration::from_secs(30));
/// let mut transfer = ReceiveTransfer::new(parameters, Opening::Plain, now);
/// assert_eq!(transfer.poll_transmit(now), Some(ReceiveStep::Ack(0)));
/// assert_eq!(transfer.handle_data(1, 300, now), Some(0)); // Write 300 bytes at offset 0.
/// assert_eq!(transfer.status(), &Status::Committing);
/// assert_eq!(transfer.poll_transmit(now), None);
/// transfer.committed(now);
/// assert_eq!(transfer.poll_transmit(now), Some(ReceiveStep::Ack(1)));
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveTransfer {
    parameters: Parameters,
    status: Status,
    timing: Timing,
    /// No block has been received, so that the OACK is sent instead of ACK 0.
    opening: bool,
    /// The block whose ACK is to be sent.
    due: Option<u64>,
    /// The time at which a repeated block is acknowledged.
    repeat_at: Option<Instant>,
    /// A gap has been reported, and no block in order was received since.
    gap: bool,
    /// The number of blocks and of bytes that were received in order.
    blocks: u64,
    bytes: u64,
    /// The number of blocks since the last ACK.
    pending: u16,
    /// The time at which the last ACK of new blocks was sent.
    probe: Option<Instant>,
    dally_until: Option<Instant>,
    retransmits: u64,
}

impl ReceiveTransfer {
    /// Begins a transfer; the OACK or ACK 0 is due at once.
    pub fn new(parameters: Parameters, opening: Opening, now: Instant) -> Self {
        Self {
            timing: Timing::new(Role::Receiver, parameters.timeout, parameters.idle_limit, now),
            parameters,
            status: Status::Active,
            opening: opening == Opening::OptionAck,
            due: Some(0),
            repeat_at: None,
            gap: false,
            blocks: 0,
            bytes: 0,
            pending: 0,
            probe: None,
            dally_until: None,
            retransmits: 0,
        }
    }

    /// Begins a transfer whose first DATA packet has been received, and answers the request itself:
    /// no ACK is due before it.
    pub fn answered(parameters: Parameters, now: Instant) -> Self {
        Self { due: None, ..Self::new(parameters, Opening::Plain, now) }
    }

    /// Takes into account a round-trip time that was measured before the transfer began.
    #[must_use]
    pub fn with_round_trip(mut self, trip: Option<Duration>) -> Self {
        if let Some(trip) = trip {
            self.timing.sample(trip);
        }
        self
    }

    /// Handles a DATA packet with the number `wire` and a payload of `length` bytes. Returns the
    /// offset in the file at which the payload is to be written, or `None` if it must not be.
    pub fn handle_data(&mut self, wire: u16, length: usize, now: Instant) -> Option<u64> {
        match self.status {
            Status::Active => {}
            Status::Dallying => {
                if self.rollover().wire(self.blocks) == wire {
                    self.repeat_last_ack();
                }
                return None;
            }
            _ => return None,
        }
        // T13: such a block is never stored.
        if length > usize::from(self.parameters.block_size) {
            self.fail(Failure::local(ErrorCode::ILLEGAL, "block longer than agreed"));
            return None;
        }
        let ahead = self.rollover().ahead(self.blocks + 1, wire)?;
        if ahead == 0 {
            return Some(self.accept(length, now));
        }
        if ahead < u64::from(self.parameters.window_size.get()) {
            self.report_gap();
        } else {
            self.handle_repeated(self.rollover().period() - ahead, now);
        }
        None
    }

    /// Records that the file is durable under its name: the last block is acknowledged (T25).
    pub fn committed(&mut self, now: Instant) {
        if self.status == Status::Committing {
            self.status = Status::Dallying;
            self.due = Some(self.blocks);
            // A peer with the same idle limit repeats its last block for that time (T24).
            let timeout = self.parameters.timeout.unwrap_or_default();
            self.dally_until =
                Some(now + self.parameters.idle_limit.max(timeout * 2).min(MAX_TIME));
        }
    }

    /// Ends the transfer as failed, unless it has ended.
    pub fn fail(&mut self, failure: Failure) {
        if matches!(self.status, Status::Active | Status::Committing) {
            self.status = Status::Failed(failure);
        }
    }

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout); before it, this does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.status {
            Status::Dallying if self.dally_until.is_none_or(|until| now >= until) => {
                self.status = Status::Done;
            }
            Status::Active => match self.timing.expire(now) {
                Expiry::Early => {}
                Expiry::GiveUp => self.fail(Failure::TimedOut),
                Expiry::Again => self.acknowledge_again(),
            },
            _ => {}
        }
    }

    /// Returns what is to be sent at the time `now`, and records it as sent.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<ReceiveStep> {
        if self.repeat_at.is_some_and(|at| now >= at) {
            self.acknowledge_again();
        }
        if !matches!(self.status, Status::Active | Status::Dallying) {
            return None;
        }
        let block = self.due.take()?;
        self.repeat_at = None;
        if self.status == Status::Active {
            self.timing.arm(now);
        }
        if self.opening {
            return Some(ReceiveStep::OptionAck);
        }
        Some(ReceiveStep::Ack(self.rollover().wire(block)))
    }

    /// Handles a repeated request of the client: the first packet is sent again (T5).
    pub fn repeat_opening(&mut self) {
        if self.status == Status::Active && self.blocks == 0 {
            self.acknowledge_again();
        }
    }

    /// Acknowledges the last block of a finished file once more; returns whether it is finished.
    pub(crate) fn repeat_last_ack(&mut self) -> bool {
        let is_finished = self.status == Status::Dallying;
        if is_finished {
            self.due = Some(self.blocks);
            self.retransmits += 1;
        }
        is_finished
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) and then
    /// [`poll_transmit`](Self::poll_transmit) are due, if any.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.status {
            Status::Active => self.timing.deadline().into_iter().chain(self.repeat_at).min(),
            Status::Dallying => self.dally_until,
            _ => None,
        }
    }

    /// The state of the transfer.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Returns whether the peer has sent data.
    pub fn is_established(&self) -> bool {
        self.blocks > 0
    }

    /// The parameters of the transfer.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The number of bytes that were received in order.
    pub fn received(&self) -> u64 {
        self.bytes
    }

    /// The number of ACKs that were sent more than once.
    pub fn retransmits(&self) -> u64 {
        self.retransmits
    }

    fn rollover(&self) -> Rollover {
        self.parameters.rollover
    }

    fn accept(&mut self, length: usize, now: Instant) -> u64 {
        if let Some(sent) = self.probe.take() {
            self.timing.sample(now.saturating_duration_since(sent));
        }
        let offset = self.bytes;
        self.opening = false;
        self.gap = false;
        self.repeat_at = None;
        self.blocks += 1;
        self.bytes += length as u64;
        self.pending += 1;
        self.timing.progress(now);
        if length < usize::from(self.parameters.block_size) {
            self.due = None;
            self.status = Status::Committing;
        } else if self.pending >= self.parameters.window_size.get() {
            self.pending = 0;
            self.due = Some(self.blocks);
            self.probe = Some(now);
        }
        self.timing.arm(now);
        offset
    }

    /// Handles a block after the expected one: each gap gets one ACK (RFC 7440 section 4, T18).
    fn report_gap(&mut self) {
        if !self.gap {
            self.gap = true;
            self.acknowledge_again();
        }
    }

    /// Handles a block that lies `back` blocks before the expected one: it is acknowledged again,
    /// but not written (T15).
    fn handle_repeated(&mut self, back: u64, now: Instant) {
        let was_received = back <= self.blocks && back <= self.rollover().period() / 2;
        if !was_received {
            return;
        }
        if self.parameters.window_size.get() == 1 {
            // T20: as in RFC 1350, the ACK is not delayed.
            self.due = Some(self.blocks + 1 - back);
            self.probe = None;
            self.retransmits += 1;
        } else if self.repeat_at.is_none() {
            // New blocks may follow; an ACK between them would make the sender start a second
            // sequence of windows.
            self.repeat_at = Some(now + DUPLICATE_DELAY);
        }
    }

    fn acknowledge_again(&mut self) {
        self.due = Some(self.blocks);
        self.repeat_at = None;
        self.probe = None;
        self.pending = 0;
        self.retransmits += 1;
    }
}
