//! The receiving end of a transfer.

use std::time::{Duration, Instant};

use crate::numbering::Rollover;
use crate::packet::ErrorCode;
use crate::timing::{Expiry, Role, Timing};
use crate::transfer::{Failure, Opening, Parameters, Status};

/// In a window, a repeated block is acknowledged when nothing new follows it for so long.
const DUPLICATE_DELAY: Duration = Duration::from_millis(2);

/// What a [`ReceiveTransfer`] wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveStep {
    /// The OACK.
    OptionAck,
    /// An ACK with this number.
    Ack(u16),
}

/// Receives one file. It does no I/O and reads no clock.
///
/// Its owner feeds it [`handle_data`](Self::handle_data), [`fail`](Self::fail) and, at
/// [`poll_timeout`](Self::poll_timeout), [`handle_timeout`](Self::handle_timeout); it writes the
/// payloads that it is told to write. After each of these it asks
/// [`poll_transmit`](Self::poll_transmit), sends what it is told, and looks at
/// [`status`](Self::status). The last block is acknowledged, once and again, only after
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
    /// The OACK stands for ACK 0 as long as no block came.
    opening: bool,
    /// The ACK to send now.
    due: Option<u64>,
    /// When a repeated block is to be acknowledged.
    repeat_at: Option<Instant>,
    /// A gap was reported, and nothing in order came since.
    gap: bool,
    /// Blocks and bytes that came in order.
    blocks: u64,
    bytes: u64,
    /// Blocks since the last ACK.
    pending: u16,
    /// When the last fresh ACK went out.
    probe: Option<Instant>,
    dally_until: Option<Instant>,
    retransmits: u64,
}

impl ReceiveTransfer {
    /// Begins a transfer; the OACK or ACK 0 is due at once.
    pub fn new(parameters: Parameters, opening: Opening, now: Instant) -> Self {
        Self {
            timing: Timing::new(Role::Receiver, parameters.timeout, parameters.patience, now),
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

    /// Begins a transfer whose first block is already here and needs no ACK before it.
    pub fn answered(parameters: Parameters, now: Instant) -> Self {
        Self { due: None, ..Self::new(parameters, Opening::Plain, now) }
    }

    /// Takes a round trip into account that was measured before the transfer began.
    #[must_use]
    pub fn with_round_trip(mut self, trip: Option<Duration>) -> Self {
        if let Some(trip) = trip {
            self.timing.sample(trip);
        }
        self
    }

    /// Feeds a DATA packet; returns the file offset at which its payload is to be written.
    pub fn handle_data(&mut self, wire: u16, length: usize, now: Instant) -> Option<u64> {
        match self.status {
            Status::Active => {}
            Status::Dallying => {
                if self.rollover().wire(self.blocks) == wire {
                    self.due = Some(self.blocks);
                    self.retransmits += 1;
                }
                return None;
            }
            _ => return None,
        }
        if length > usize::from(self.parameters.block_size) {
            self.fail(Failure::local(ErrorCode::ILLEGAL, "block longer than agreed"));
            return None;
        }
        let ahead = self.rollover().ahead(self.blocks + 1, wire)?;
        if ahead == 0 {
            return Some(self.accept(length, now));
        }
        if ahead < u64::from(self.parameters.window) {
            self.report_gap();
        } else {
            self.repeated(self.rollover().period() - ahead, now);
        }
        None
    }

    /// The file is durable and in its place: the last block may be acknowledged.
    pub fn committed(&mut self, now: Instant) {
        if self.status == Status::Committing {
            self.status = Status::Dallying;
            self.due = Some(self.blocks);
            // The peer repeats its last block for as long, if it is as patient as this end.
            let timeout = self.parameters.timeout.unwrap_or_default();
            self.dally_until = Some(now + self.parameters.patience.max(timeout * 2));
        }
    }

    /// Ends the transfer early.
    pub fn fail(&mut self, failure: Failure) {
        if matches!(self.status, Status::Active | Status::Committing) {
            self.status = Status::Failed(failure);
        }
    }

    /// Looks at the clock; to be called when [`poll_timeout`](Self::poll_timeout) is reached.
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

    /// Returns what is to be sent now. It counts as sent: a lost ACK is sent again in time.
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

    /// The client repeats its request: the first packet goes out again.
    pub fn repeat_opening(&mut self) {
        if self.status == Status::Active && self.blocks == 0 {
            self.acknowledge_again();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) or
    /// [`poll_transmit`](Self::poll_transmit) is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.status {
            Status::Active => self.timing.deadline().into_iter().chain(self.repeat_at).min(),
            Status::Dallying => self.dally_until,
            _ => None,
        }
    }

    /// Where the transfer stands.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Tells whether the peer has sent any data.
    pub fn is_established(&self) -> bool {
        self.blocks > 0
    }

    /// What was agreed upon.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The bytes that came in order.
    pub fn received(&self) -> u64 {
        self.bytes
    }

    /// How many ACKs were sent again.
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
        } else if self.pending >= self.parameters.window {
            self.pending = 0;
            self.due = Some(self.blocks);
            self.probe = Some(now);
        }
        self.timing.arm(now);
        offset
    }

    /// A block beyond the expected one came: one ACK for each gap (RFC 7440, 4).
    fn report_gap(&mut self) {
        if !self.gap {
            self.gap = true;
            self.acknowledge_again();
        }
    }

    /// A block that lies `back` blocks before the expected one came again.
    fn repeated(&mut self, back: u64, now: Instant) {
        let known = back <= self.blocks && back <= self.rollover().period() / 2;
        if !known {
            return;
        }
        if self.parameters.window == 1 {
            self.due = Some(self.blocks + 1 - back);
            self.probe = None;
            self.retransmits += 1;
        } else if self.repeat_at.is_none() {
            // What follows may be new: an ACK in the middle of it would start a second
            // stream of windows.
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
