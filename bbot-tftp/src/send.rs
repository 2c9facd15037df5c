//! The sending end of a transfer.

use std::time::{Duration, Instant};

use crate::numbering::Rollover;
use crate::packet::ErrorCode;
use crate::timing::{Expiry, Role, Timing};
use crate::transfer::{Failure, Opening, Parameters, Status};

/// What a [`SendTransfer`] wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStep {
    /// The OACK.
    OptionAck,
    /// A run of DATA blocks.
    Blocks {
        /// The first block's number, from 1.
        first: u64,
        /// How many; at least 1.
        count: u16,
    },
}

/// Sends one file of a known size. It does no I/O and reads no clock.
///
/// Its owner feeds it [`handle_ack`](Self::handle_ack), [`fail`](Self::fail) and, at
/// [`poll_timeout`](Self::poll_timeout), [`handle_timeout`](Self::handle_timeout). After each of
/// these it asks [`poll_transmit`](Self::poll_transmit) until that returns `None`, sends what
/// it is told and confirms it with [`transmitted`](Self::transmitted); then it looks at
/// [`status`](Self::status).
///
/// ```
/// use bbot_tftp::{Opening, Options, Parameters, Rollover, SendStep, SendTransfer, Status};
/// use std::time::{Duration, Instant};
/// let now = Instant::now();
/// let asked = Options { block_size: Some(1000), ..Options::default() };
/// let parameters = Parameters::new(&asked, Rollover::Zero, Duration::from_secs(30));
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
    greeting: Greeting,
    /// All blocks up to here are acknowledged.
    base: u64,
    /// The next block to send.
    next: u64,
    /// The greatest block that was ever sent.
    sent: u64,
    /// A block that was sent once, and when.
    probe: Option<(u64, Instant)>,
    /// A duplicate ACK of `base` was already answered with a window.
    restarted: bool,
    pace: Pace,
    established: bool,
    greetings: u64,
    retransmits: u64,
}

impl SendTransfer {
    /// Begins a transfer of `size` bytes.
    pub fn new(parameters: Parameters, size: u64, opening: Opening, now: Instant) -> Self {
        let greeting = match opening {
            Opening::OptionAck => Greeting::Due,
            Opening::Plain => Greeting::Over,
        };
        Self {
            timing: Timing::new(Role::Sender, parameters.timeout, parameters.patience, now),
            pace: Pace::new(parameters.window),
            parameters,
            size,
            status: Status::Active,
            greeting,
            base: 0,
            next: 1,
            sent: 0,
            probe: None,
            restarted: false,
            established: false,
            greetings: 0,
            retransmits: 0,
        }
    }

    /// Takes a round trip into account that was measured before the transfer began.
    #[must_use]
    pub fn with_round_trip(mut self, trip: Option<Duration>) -> Self {
        if let Some(trip) = trip {
            self.timing.sample(trip);
        }
        self
    }

    /// Feeds an ACK.
    pub fn handle_ack(&mut self, wire: u16, now: Instant) {
        if self.status != Status::Active {
            return;
        }
        // A number that was never sent, or that is older than the base, means nothing.
        let ahead = self.rollover().ahead(self.base, wire);
        let Some(block) = ahead.map(|d| self.base + d).filter(|b| *b <= self.sent) else { return };
        if self.greeting != Greeting::Over {
            self.greeting = Greeting::Over;
            self.advance(0, now);
        } else if block > self.base {
            self.advance(block, now);
        } else {
            self.duplicate();
        }
    }

    /// Ends the transfer early.
    pub fn fail(&mut self, failure: Failure) {
        if !matches!(self.status, Status::Done | Status::Failed(_)) {
            self.status = Status::Failed(failure);
        }
    }

    /// Looks at the clock; to be called when [`poll_timeout`](Self::poll_timeout) is reached.
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
                self.pace.lost();
                self.greeting.again();
                self.next = self.base + 1;
            }
        }
    }

    /// Returns what is to be sent now.
    pub fn poll_transmit(&self, now: Instant) -> Option<SendStep> {
        if self.status != Status::Active {
            return None;
        }
        if self.greeting == Greeting::Due {
            return Some(SendStep::OptionAck);
        }
        let left = self.unsent();
        if self.greeting == Greeting::Sent
            || left == 0
            || self.pace.until.is_some_and(|until| now < until)
        {
            return None;
        }
        let count = left.min(self.pace.left);
        Some(SendStep::Blocks { first: self.next, count })
    }

    /// The client repeats its request: the first packet goes out again, without touching the
    /// timer.
    pub fn repeat_opening(&mut self) {
        if self.status == Status::Active && !self.established {
            self.probe = None;
            self.greeting.again();
            self.next = 1;
            self.pace.renew();
        }
    }

    /// Confirms that the OACK, or the first `count` blocks of the step, went out.
    pub fn transmitted(&mut self, count: u16, now: Instant) {
        if self.greeting == Greeting::Due {
            self.greeting = Greeting::Sent;
            self.probe = (self.greetings == 0).then_some((0, now));
            self.greetings += 1;
            self.timing.arm(now);
            return;
        }
        let count = count.min(self.unsent());
        let last = self.next + u64::from(count);
        let fresh = last.saturating_sub(self.sent + 1).min(count.into());
        self.retransmits += u64::from(count) - fresh;
        self.next = last;
        self.sent = self.sent.max(last - 1);
        // Only the end of a whole window is answered at once.
        if fresh == u64::from(count) && self.unsent() == 0 {
            self.probe = Some((last - 1, now));
        }
        let trip = self.timing.round_trip();
        self.pace.spent(count, self.unsent(), trip, now);
        // A window that goes out in pieces is waited for from its last piece on.
        if self.unsent() == 0 {
            self.timing.arm(now);
        }
    }

    /// The network took nothing more: the next try is made a little later.
    pub fn postpone(&mut self, now: Instant) {
        self.pace.until = Some(now + Pace::CONGESTED);
        self.timing.arm(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) or
    /// [`poll_transmit`](Self::poll_transmit) is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.status != Status::Active {
            return None;
        }
        let paced =
            self.pace.until.filter(|_| self.greeting == Greeting::Over && self.unsent() > 0);
        self.timing.deadline().into_iter().chain(paced).min()
    }

    /// Where the transfer stands.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Tells whether the peer has answered at all.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Offset and length of a block's payload in the file.
    pub fn payload(&self, block: u64) -> (u64, usize) {
        let block_size = u64::from(self.parameters.block_size);
        let offset = (block - 1) * block_size;
        let length = self.size.saturating_sub(offset).min(block_size);
        (offset, usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The 16 bits that stand for a block.
    pub fn wire(&self, block: u64) -> u16 {
        self.rollover().wire(block)
    }

    /// What was agreed upon.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The file's bytes that are known to have arrived.
    pub fn acknowledged(&self) -> u64 {
        (self.base * u64::from(self.parameters.block_size)).min(self.size)
    }

    /// How many packets were sent again.
    pub fn retransmits(&self) -> u64 {
        self.retransmits + self.greetings.saturating_sub(1)
    }

    fn rollover(&self) -> Rollover {
        self.parameters.rollover
    }

    /// The last block: the first that is not full.
    fn last(&self) -> u64 {
        self.size / u64::from(self.parameters.block_size) + 1
    }

    /// The blocks of the current window that are still to be sent.
    fn unsent(&self) -> u16 {
        let end = (self.base + u64::from(self.parameters.window)).min(self.last());
        u16::try_from((end + 1).saturating_sub(self.next)).expect("at most a window")
    }

    /// All blocks up to `block` have arrived: the next window begins after it.
    fn advance(&mut self, block: u64, now: Instant) {
        if let Some((_, sent)) = self.probe.take_if(|(probed, _)| *probed <= block) {
            self.timing.sample(now.saturating_duration_since(sent));
        }
        // An ACK inside the window tells of a loss (RFC 7440, 4).
        let whole = block + 1 >= self.next;
        if whole {
            self.pace.arrived();
        } else {
            self.probe = None;
            self.pace.lost();
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

    /// An ACK of the base came again. In lockstep only the timer repeats a block (Sorcerer's
    /// Apprentice); in a window it may tell that the first block was lost.
    fn duplicate(&mut self) {
        if self.parameters.window > 1 && !self.restarted && self.next > self.base + 1 {
            self.restarted = true;
            self.probe = None;
            self.pace.lost();
            self.next = self.base + 1;
        }
    }

    /// Fails because the file could not be read.
    pub(crate) fn unreadable(&mut self) {
        self.fail(Failure::local(ErrorCode::UNDEFINED, "file could not be read"));
    }
}

/// Where the OACK stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeting {
    /// It has to be sent.
    Due,
    /// It waits for its ACK 0.
    Sent,
    /// It was answered, or there is none.
    Over,
}

impl Greeting {
    fn again(&mut self) {
        if *self == Self::Sent {
            *self = Self::Due;
        }
    }
}

/// Sends a window in pieces while windows get lost: there is no other congestion control.
#[derive(Clone, Debug)]
struct Pace {
    window: u16,
    /// The size of a piece.
    piece: u16,
    /// What is left of the current piece.
    left: u16,
    /// When the next piece may go.
    until: Option<Instant>,
    /// Losses since the last whole window.
    losses: u32,
}

impl Pace {
    const CONGESTED: Duration = Duration::from_millis(1);
    const SHORTEST: Duration = Duration::from_micros(100);
    const LONGEST: Duration = Duration::from_millis(5);

    fn new(window: u16) -> Self {
        Self { window, piece: window, left: window, until: None, losses: 0 }
    }

    fn lost(&mut self) {
        self.losses += 1;
        if self.losses > 1 {
            self.piece = (self.piece / 2).max(1);
        }
        self.renew();
    }

    fn arrived(&mut self) {
        self.losses = 0;
        self.piece = self.piece.saturating_mul(2).min(self.window);
        self.renew();
    }

    fn renew(&mut self) {
        self.left = self.piece;
        self.until = None;
    }

    fn spent(&mut self, count: u16, unsent: u16, trip: Option<Duration>, now: Instant) {
        self.left = self.left.saturating_sub(count);
        if self.left == 0 {
            self.left = self.piece;
            let pause = trip.unwrap_or_default() / 4;
            let pause = pause.clamp(Self::SHORTEST, Self::LONGEST);
            self.until = (unsent > 0).then(|| now + pause);
        }
    }
}
