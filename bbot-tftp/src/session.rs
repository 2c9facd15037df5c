//! One transfer of a server: the state machine with its file.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use crate::config::Route;
use crate::engine::{Arrival, Host, Sent};
use crate::event::Event;
use crate::fill::{Packets, SendBuffer};
use crate::options::Options;
use crate::packet::{Direction, ErrorCode, Packet};
use crate::receive::{ReceiveStep, ReceiveTransfer};
use crate::send::{SendStep, SendTransfer};
use crate::store::{Sink, Source, StoreError};
use crate::transfer::{Failure, Status};

/// Payloads that one call writes: well under `IOV_MAX`.
const BLOCKS_AT_ONCE: usize = 512;

/// A transfer between its request and its end.
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) route: Route,
    pub(crate) file: String,
    pub(crate) transfer: Transfer,
    pub(crate) granted: Options,
    /// The request, to know it again.
    pub(crate) request: Vec<u8>,
    pub(crate) started: Instant,
    /// When a client that never answered is given up: so long after it asked last.
    pub(crate) answer_by: Instant,
    pub(crate) answer_within: Duration,
    /// When the transfer is given up, whatever it does; once it has failed, when it is forgotten.
    pub(crate) end_by: Instant,
    /// The entry in the engine's queue.
    pub(crate) scheduled: Option<Instant>,
    /// Bytes of the listener's receive buffer that this transfer may fill.
    pub(crate) reserved: usize,
    pub(crate) announced: bool,
}

/// The state machine and its file.
pub(crate) enum Transfer {
    Send { core: SendTransfer, source: Box<dyn Source> },
    Receive { core: ReceiveTransfer, sink: Option<Box<dyn Sink>> },
}

impl Session {
    pub(crate) fn direction(&self) -> Direction {
        match self.transfer {
            Transfer::Send { .. } => Direction::Get,
            Transfer::Receive { .. } => Direction::Put,
        }
    }

    pub(crate) fn status(&self) -> &Status {
        match &self.transfer {
            Transfer::Send { core, .. } => core.status(),
            Transfer::Receive { core, .. } => core.status(),
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        match &self.transfer {
            Transfer::Send { core, .. } => core.is_established(),
            Transfer::Receive { core, .. } => core.is_established(),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match &self.transfer {
            Transfer::Send { core, .. } => core.acknowledged(),
            Transfer::Receive { core, .. } => core.received(),
        }
    }

    /// Ends the transfer early. One whose data is all here ends by its commit only.
    pub(crate) fn fail(&mut self, failure: Failure) {
        match &mut self.transfer {
            Transfer::Receive { core, .. } if core.status() == &Status::Committing => {}
            Transfer::Receive { core, .. } => core.fail(failure),
            Transfer::Send { core, .. } => core.fail(failure),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let core = match &self.transfer {
            Transfer::Send { core, .. } => core.poll_timeout(),
            Transfer::Receive { core, .. } => core.poll_timeout(),
        };
        let bound = match self.status() {
            Status::Active if !self.is_established() => Some(self.answer_by.min(self.end_by)),
            Status::Active | Status::Failed(_) => Some(self.end_by),
            _ => None,
        };
        core.into_iter().chain(bound).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let late = now >= self.end_by || (!self.is_established() && now >= self.answer_by);
        if late && self.status() == &Status::Active {
            self.fail(Failure::TimedOut);
        }
        match &mut self.transfer {
            Transfer::Send { core, .. } => core.handle_timeout(now),
            Transfer::Receive { core, .. } => core.handle_timeout(now),
        }
    }

    /// Feeds datagrams of the client.
    pub(crate) fn handle(
        &mut self,
        arrivals: &[Arrival<'_>],
        buffer: &mut SendBuffer,
        now: Instant,
        host: &mut dyn Host,
    ) {
        let mut write = Write::default();
        for datagram in arrivals.iter().flat_map(Arrival::datagrams) {
            match (&mut self.transfer, Packet::decode(datagram)) {
                (Transfer::Send { core, .. }, Ok(Packet::Ack { block })) => {
                    core.handle_ack(block, now);
                }
                (Transfer::Receive { core, sink }, Ok(Packet::Data { block, payload })) => {
                    if let Some(offset) = core.handle_data(block, payload.len(), now) {
                        write.push(payload, offset, sink, core);
                    }
                }
                (_, Ok(Packet::Error { code, message })) => self.fail(Failure::peer(code, message)),
                // Anything else belongs to no transfer, and is no reason to end this one.
                _ => {}
            }
        }
        // An ACK before the last goes out first: the client reads on while this end writes.
        self.send_due(buffer, now, host);
        if let Transfer::Receive { core, sink } = &mut self.transfer {
            write.flush(sink, core);
        }
    }

    /// Sends all that is due, and hands over the file when it is complete.
    pub(crate) fn pump(&mut self, buffer: &mut SendBuffer, now: Instant, host: &mut dyn Host) {
        self.send_due(buffer, now, host);
        if let Transfer::Receive { core, sink } = &mut self.transfer
            && core.status() == &Status::Committing
            && let Some(sink) = sink.take()
        {
            host.commit(self.id, sink);
        }
    }

    fn send_due(&mut self, buffer: &mut SendBuffer, now: Instant, host: &mut dyn Host) {
        let Self { id, route, transfer, granted, .. } = self;
        while let Some(packets) = transfer.next_packets(granted, buffer, now) {
            let count = packets.count();
            match host.send(*id, route, packets.bytes, packets.segment) {
                Sent::All => transfer.confirm(count, now),
                Sent::Some(count) => {
                    transfer.confirm(count, now);
                    transfer.postpone(now);
                    break;
                }
            }
        }
    }

    /// Gives up an unfinished upload.
    pub(crate) fn discard(&mut self) {
        if let Transfer::Receive { sink, .. } = &mut self.transfer {
            *sink = None;
        }
    }

    pub(crate) fn committed(&mut self, result: Result<(), StoreError>, now: Instant) {
        if let Transfer::Receive { core, .. } = &mut self.transfer {
            match result {
                Ok(()) => core.committed(now),
                Err(error) => refuse_write(core, &error),
            }
        }
    }

    /// The first packet again, because the client asked again.
    pub(crate) fn repeat_opening(&mut self, now: Instant) {
        self.answer_by = now + self.answer_within;
        match &mut self.transfer {
            Transfer::Send { core, .. } => core.repeat_opening(),
            Transfer::Receive { core, .. } => core.repeat_opening(),
        }
    }

    pub(crate) fn started_event(&self) -> Event {
        Event::Started {
            id: self.id,
            direction: self.direction(),
            file: self.file.clone(),
            peer: self.route.peer,
        }
    }

    /// One line for the log, whatever the end was.
    pub(crate) fn log(&self, result: &dyn std::fmt::Display, now: Instant) {
        let (parameters, retransmits) = match &self.transfer {
            Transfer::Send { core, .. } => (core.parameters(), core.retransmits()),
            Transfer::Receive { core, .. } => (core.parameters(), core.retransmits()),
        };
        log::debug!(
            "transfer {}: peer={} direction={} file={:?} bytes={} blksize={} window={} \
             seconds={:.6} retransmits={retransmits} result={result}",
            self.id,
            self.route.peer,
            self.direction(),
            self.file,
            self.bytes(),
            parameters.block_size,
            parameters.window,
            now.saturating_duration_since(self.started).as_secs_f64(),
        );
    }
}

impl Transfer {
    /// Makes the packets that are due.
    fn next_packets<'a>(
        &'a mut self,
        granted: &Options,
        buffer: &'a mut SendBuffer,
        now: Instant,
    ) -> Option<Packets<'a>> {
        match self {
            Self::Send { core, source } => match core.poll_transmit(now)? {
                SendStep::OptionAck => Some(put_option_ack(buffer, granted)),
                SendStep::Blocks { first, count } => {
                    let made = buffer.put_blocks(core, source.as_ref(), first, count);
                    made.inspect_err(|_| core.unreadable()).ok()
                }
            },
            Self::Receive { core, .. } => Some(match core.poll_transmit(now)? {
                ReceiveStep::OptionAck => put_option_ack(buffer, granted),
                ReceiveStep::Ack(block) => buffer.put(&Packet::Ack { block }),
            }),
        }
    }

    fn confirm(&mut self, count: usize, now: Instant) {
        if let Self::Send { core, .. } = self {
            core.transmitted(u16::try_from(count).unwrap_or(u16::MAX), now);
        }
    }

    fn postpone(&mut self, now: Instant) {
        if let Self::Send { core, .. } = self {
            core.postpone(now);
        }
    }
}

fn put_option_ack<'a>(buffer: &'a mut SendBuffer, granted: &Options) -> Packets<'a> {
    let pairs = granted.to_pairs();
    let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    buffer.put(&Packet::OptionAck(pairs))
}

/// Payloads that follow each other, to be written by one call.
#[derive(Default)]
struct Write<'a> {
    payloads: Vec<IoSlice<'a>>,
    offset: u64,
}

impl<'a> Write<'a> {
    fn push(
        &mut self,
        payload: &'a [u8],
        offset: u64,
        sink: &mut Option<Box<dyn Sink>>,
        core: &mut ReceiveTransfer,
    ) {
        if self.payloads.len() >= BLOCKS_AT_ONCE {
            self.flush(sink, core);
        }
        if self.payloads.is_empty() {
            self.offset = offset;
        }
        self.payloads.push(IoSlice::new(payload));
    }

    fn flush(&mut self, sink: &mut Option<Box<dyn Sink>>, core: &mut ReceiveTransfer) {
        if self.payloads.is_empty() {
            return;
        }
        if let Some(sink) = sink
            && let Err(error) = sink.write_at(&mut self.payloads, self.offset)
        {
            refuse_write(core, &error);
        }
        self.payloads.clear();
    }
}

/// A file that could not be stored ends with an ERROR instead of an ACK.
fn refuse_write(transfer: &mut ReceiveTransfer, error: &StoreError) {
    let (code, message) = error.reply();
    // RFC 1350 has no number for a failed disk: to the client it is as good as full.
    let failed = code == ErrorCode::UNDEFINED;
    transfer.fail(Failure::local(if failed { ErrorCode::DISK_FULL } else { code }, message));
}
