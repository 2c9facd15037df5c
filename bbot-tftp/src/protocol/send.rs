//! The end of a transfer that sends the file.

use std::time::{Duration, Instant};

use super::numbering::Rollover;
use super::packet::ErrorCode;
use super::timing::{Expiry, Role, Timing};
use super::transfer::{Failure, Opening, Parameters, Status};

/// What a [`SendTransfer`] has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendStep {
    /// The OACK.
    OptionAck,
    /// A run of DATA blocks.
    Blocks {
        /// The first block's number, from 1.
        first: u64,
        /// The number of blocks; at least 1.
        count: u16,
    },
}

/// Sends one file of a known size. It performs no I/O and reads no clock.
///
/// The caller calls [`handle_ack`](Self::handle_ack) for each ACK, [`fail`](Self::fail) to end the
/// transfer, and [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout). After each of these it calls
/// [`poll_transmit`](Self::poll_transmit) until that returns `None`, sends what that returns, and
/// confirms it with [`transmitted`](Self::transmitted). Then it checks [`status`](Self::status).
///
/// ```
/// use bbot_tftp::{
///     BlockSize, Opening, Options, Parameters, Rollover, SendStep, SendTransfer, Status,
/// };
/// use std::time::{Duration, Instant};
/// let now = Instant::now();
/// let granted = Options { block_size: BlockSize::new(1000), ..Options::default() };
/// let parameters = Parameters::new(&granted, Rollover::Zero, Duration::from_secs(30));
/// let mut transfer = SendTransfer::new(parameters, 1500, Opening::OptionAck, now);
/// assert_eq!(transfer.poll_transmit(now), Some(SendStep::OptionAck));
/// transfer.transmitted(1, now);
/// for block in 0..=2 {
///     transfer.handle_ack(block, now);
///     if transfer.poll_transmit(now).is_some() {
///         transfer.transmitted(1, now);
///     }
/// }
/// assert_eq!(transfer.status(), &Status::Done);
/// ```
#[derive(Clone, Debug)]
pub struct SendTransfer {
    parameters: Parameters,
    size: u64,
    status: Status,
    timing: Timing,
    oack: OackState,
    /// All blocks up to this one are acknowledged.
    base: u64,
    /// The next block to send.
    next: u64,
    /// The last block that was sent at least once.
    sent: u64,
    /// A block that was sent once, and the time: its ACK gives a round-trip time.
    probe: Option<(u64, Instant)>,
    /// A duplicate ACK of `base` has been answered with a window (T19).
    restarted: bool,
    pacing: Pacing,
    established: bool,
    oacks_sent: u64,
    retransmits: u64,
}

impl SendTransfer {
    /// Begins a transfer of `size` bytes.
    pub fn new(parameters: Parameters, size: u64, opening: Opening, now: Instant) -> Self {
        let oack = match opening {
            Opening::OptionAck => OackState::Due,
            Opening::Plain => OackState::Settled,
        };
        Self {
            timing: Timing::new(Role::Sender, parameters.timeout, parameters.idle_limit, now),
            pacing: Pacing::new(parameters.window_size.get()),
            parameters,
            size,
            status: Status::Active,
            oack,
            base: 0,
            next: 1,
            sent: 0,
            probe: None,
            restarted: false,
            established: false,
            oacks_sent: 0,
            retransmits: 0,
        }
    }

    /// Takes into account a round-trip time that was measured before the transfer began.
    #[must_use]
    pub fn with_round_trip(mut self, trip: Option<Duration>) -> Self {
        if let Some(trip) = trip {
            self.timing.sample(trip);
        }
        self
    }

    /// Handles an ACK with the number `wire`.
    pub fn handle_ack(&mut self, wire: u16, now: Instant) {
        if self.status != Status::Active {
            return;
        }
        // The ACK of a block that was never sent, or that lies before the base, is ignored (T16).
        let ahead = self.rollover().ahead(self.base, wire);
        let Some(block) = ahead.map(|d| self.base + d).filter(|b| *b <= self.sent) else { return };
        if self.oack != OackState::Settled {
            self.oack = OackState::Settled;
            self.advance(0, now);
        } else if block > self.base {
            self.advance(block, now);
        } else {
            self.handle_duplicate();
        }
    }

    /// Ends the transfer as failed, unless it has ended.
    pub fn fail(&mut self, failure: Failure) {
        if !matches!(self.status, Status::Done | Status::Failed(_)) {
            self.status = Status::Failed(failure);
        }
    }

    /// Handles the deadline of [`poll_timeout`](Self::poll_timeout); before it, this does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.status != Status::Active {
            return;
        }
        match self.timing.expire(now) {
            Expiry::Early => {}
            Expiry::GiveUp => self.fail(Failure::TimedOut),
            Expiry::Again => {
                self.probe = None;
                self.restarted = false;
                self.pacing.record_loss();
                self.oack.repeat();
                self.next = self.base + 1;
            }
        }
    }

    /// Returns what is to be sent at the time `now`.
    pub fn poll_transmit(&self, now: Instant) -> Option<SendStep> {
        if self.status != Status::Active {
            return None;
        }
        if self.oack == OackState::Due {
            return Some(SendStep::OptionAck);
        }
        let left = self.unsent();
        if self.oack == OackState::Sent
            || left == 0
            || self.pacing.until.is_some_and(|until| now < until)
        {
            return None;
        }
        let count = left.min(self.pacing.left);
        Some(SendStep::Blocks { first: self.next, count })
    }

    /// Handles a repeated request of the client: the first packet is sent again, and the timer
    /// goes on (T5).
    pub fn repeat_opening(&mut self) {
        if self.status == Status::Active && !self.established {
            self.probe = None;
            self.oack.repeat();
            self.next = 1;
            self.pacing.renew();
        }
    }

    /// Confirms that the OACK, or the first `count` blocks of the step, were sent.
    pub fn transmitted(&mut self, count: u16, now: Instant) {
        if self.oack == OackState::Due {
            self.oack = OackState::Sent;
            self.probe = (self.oacks_sent == 0).then_some((0, now));
            self.oacks_sent += 1;
            self.timing.arm(now);
            return;
        }
        let count = count.min(self.unsent());
        let last = self.next + u64::from(count);
        let fresh = last.saturating_sub(self.sent + 1).min(count.into());
        self.retransmits += u64::from(count) - fresh;
        self.next = last;
        self.sent = self.sent.max(last - 1);
        // Only the last block of a complete window is acknowledged without delay.
        if fresh == u64::from(count) && self.unsent() == 0 {
            self.probe = Some((last - 1, now));
        }
        let trip = self.timing.round_trip();
        self.pacing.record_sent(count, self.unsent(), trip, now);
        // The ACK of a window that is sent in parts is awaited from its last part on.
        if self.unsent() == 0 {
            self.timing.arm(now);
        }
    }

    /// Records that the send buffer is full: the rest is due a millisecond later.
    pub fn postpone(&mut self, now: Instant) {
        self.pacing.until = Some(now + Pacing::CONGESTION_DELAY);
        self.timing.arm(now);
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) and then
    /// [`poll_transmit`](Self::poll_transmit) are due, if any.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.status != Status::Active {
            return None;
        }
        let paced =
            self.pacing.until.filter(|_| self.oack == OackState::Settled && self.unsent() > 0);
        self.timing.deadline().into_iter().chain(paced).min()
    }

    /// The state of the transfer.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Returns whether the peer has answered.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// The offset and the length of a block in the file, in bytes.
    pub fn payload(&self, block: u64) -> (u64, usize) {
        let block_size = u64::from(self.parameters.block_size);
        let offset = (block - 1) * block_size;
        let length = self.size.saturating_sub(offset).min(block_size);
        (offset, usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The number of a block on the wire.
    pub fn wire_number(&self, block: u64) -> u16 {
        self.rollover().wire(block)
    }

    /// The parameters of the transfer.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The number of the file's bytes that the peer has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        (self.base * u64::from(self.parameters.block_size)).min(self.size)
    }

    /// The number of packets that were sent more than once.
    pub fn retransmits(&self) -> u64 {
        self.retransmits + self.oacks_sent.saturating_sub(1)
    }

    fn rollover(&self) -> Rollover {
        self.parameters.rollover
    }

    /// The last block, which is the first that is not full (T13).
    fn last(&self) -> u64 {
        self.size / u64::from(self.parameters.block_size) + 1
    }

    /// The number of blocks of the current window that are still to be sent.
    fn unsent(&self) -> u16 {
        let end = (self.base + u64::from(self.parameters.window_size.get())).min(self.last());
        u16::try_from((end + 1).saturating_sub(self.next)).expect("at most a window")
    }

    /// Records that all blocks up to `block` have arrived: the next window begins after it (T17).
    fn advance(&mut self, block: u64, now: Instant) {
        if let Some((_, sent)) = self.probe.take_if(|(probed, _)| *probed <= block) {
            self.timing.sample(now.saturating_duration_since(sent));
        }
        // An ACK inside the window reports a loss (RFC 7440 section 4).
        let is_complete = block + 1 >= self.next;
        if is_complete {
            self.pacing.record_arrival();
        } else {
            self.probe = None;
            self.pacing.record_loss();
        }
        self.established = true;
        self.base = block;
        self.next = block + 1;
        self.restarted = false;
        self.timing.progress(now);
        if block == self.last() {
            self.status = Status::Done;
        }
    }

    /// Handles a duplicate ACK of the base. In lockstep, which is also a window of one block (T20),
    /// only the timer repeats a block (T15); in a longer window, the ACK may report that the first
    /// block was lost (T19).
    fn handle_duplicate(&mut self) {
        if self.parameters.window_size.get() > 1 && !self.restarted && self.next > self.base + 1 {
            self.restarted = true;
            self.probe = None;
            self.pacing.record_loss();
            self.next = self.base + 1;
        }
    }

    /// Ends the transfer because the file could not be read.
    pub(crate) fn fail_to_read(&mut self) {
        self.fail(Failure::local(ErrorCode::UNDEFINED, "file could not be read"));
    }
}

/// The state of the OACK: no block is sent before it is acknowledged (T8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OackState {
    /// It is to be sent.
    Due,
    /// It was sent, and its ACK 0 is awaited.
    Sent,
    /// It was acknowledged, or there is none.
    Settled,
}

impl OackState {
    fn repeat(&mut self) {
        if *self == Self::Sent {
            *self = Self::Due;
        }
    }
}

/// Divides windows into parts, with pauses between them, while blocks are lost: TFTP has no other
/// congestion control (T23).
#[derive(Clone, Debug)]
struct Pacing {
    window_size: u16,
    /// The number of blocks in a part.
    part: u16,
    /// The number of blocks that are left of the current part.
    left: u16,
    /// The time at which the next part may be sent.
    until: Option<Instant>,
    /// The number of losses since the last window that arrived completely.
    losses: u32,
}

impl Pacing {
    const CONGESTION_DELAY: Duration = Duration::from_millis(1);
    const SHORTEST: Duration = Duration::from_micros(100);
    const LONGEST: Duration = Duration::from_millis(5);

    fn new(window_size: u16) -> Self {
        Self { window_size, part: window_size, left: window_size, until: None, losses: 0 }
    }

    fn record_loss(&mut self) {
        self.losses += 1;
        if self.losses > 1 {
            self.part = (self.part / 2).max(1);
        }
        self.renew();
    }

    fn record_arrival(&mut self) {
        self.losses = 0;
        self.part = self.part.saturating_mul(2).min(self.window_size);
        self.renew();
    }

    fn renew(&mut self) {
        self.left = self.part;
        self.until = None;
    }

    fn record_sent(&mut self, count: u16, unsent: u16, trip: Option<Duration>, now: Instant) {
        self.left = self.left.saturating_sub(count);
        if self.left == 0 {
            self.left = self.part;
            let pause = trip.unwrap_or_default() / 4;
            let pause = pause.clamp(Self::SHORTEST, Self::LONGEST);
            self.until = (unsent > 0).then(|| now + pause);
        }
    }
}
