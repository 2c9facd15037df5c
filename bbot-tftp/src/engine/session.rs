//! One transfer of a server: a state machine and its file.

use std::fmt;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use super::host::Host;
use super::send_buffer::SendBuffer;
use crate::event::Event;
use crate::protocol::{
    Arrival, Datagrams, Direction, ErrorCode, Failure, Options, Packet, PortId, ReceiveStep,
    ReceiveTransfer, Route, SendStep, SendTransfer, Sent, Status, TransferId,
};
use crate::store::{Sink, Source, StoreError};

/// The time for which the request of a finished upload is taken for a late double of it (T26), from
/// the first repetition on. A client that goes on to repeat it wants to send the file again.
const LATE_DOUBLES: Duration = Duration::from_secs(5);
/// The maximum number of payloads that one call writes: less than `IOV_MAX`.
const MAX_PAYLOADS: usize = 512;

/// A transfer between its request and its end.
pub(super) struct Session {
    pub(super) id: TransferId,
    pub(super) port: PortId,
    pub(super) route: Route,
    pub(super) file: String,
    pub(super) transfer: Transfer,
    pub(super) granted: Options,
    /// The request, to recognize a repetition.
    pub(super) request: Vec<u8>,
    pub(super) started: Instant,
    /// The time at which a client that has not answered is given up: `answer_within` after its last
    /// request.
    pub(super) answer_by: Instant,
    pub(super) answer_within: Duration,
    /// The time at which the transfer is given up although it makes progress; after it has failed,
    /// the time at which the session is removed.
    pub(super) end_by: Instant,
    /// The deadline that is queued in the session table.
    pub(super) scheduled: Option<Instant>,
    /// The bytes of the listener's receive buffer that are reserved for this transfer.
    pub(super) reserved: usize,
    /// [`Event::Started`] was reported.
    pub(super) announced: bool,
    /// The time at which the request was repeated first after the upload had finished.
    pub(super) doubled: Option<Instant>,
    /// The client has begun another transfer while this upload was committed: it is sent nothing
    /// more of this one (T5).
    pub(super) detached: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("route", &self.route)
            .field("file", &self.file)
            .field("status", self.status())
            .finish_non_exhaustive()
    }
}

/// A state machine and its file.
pub(super) enum Transfer {
    Send { core: SendTransfer, source: Box<dyn Source> },
    Receive { core: ReceiveTransfer, sink: Option<Box<dyn Sink>> },
}

impl Session {
    pub(super) fn direction(&self) -> Direction {
        match self.transfer {
            Transfer::Send { .. } => Direction::Get,
            Transfer::Receive { .. } => Direction::Put,
        }
    }

    pub(super) fn status(&self) -> &Status {
        match &self.transfer {
            Transfer::Send { core, .. } => core.status(),
            Transfer::Receive { core, .. } => core.status(),
        }
    }

    pub(super) fn is_established(&self) -> bool {
        match &self.transfer {
            Transfer::Send { core, .. } => core.is_established(),
            Transfer::Receive { core, .. } => core.is_established(),
        }
    }

    pub(super) fn is_download_in_progress(&self) -> bool {
        self.direction() == Direction::Get && self.is_established()
    }

    pub(super) fn bytes(&self) -> u64 {
        match &self.transfer {
            Transfer::Send { core, .. } => core.acknowledged(),
            Transfer::Receive { core, .. } => core.received(),
        }
    }

    /// Ends the transfer as failed. An upload whose data has been received ends by its commit only
    /// (T25).
    pub(super) fn fail(&mut self, failure: Failure) {
        match &mut self.transfer {
            Transfer::Receive { core, .. } if core.status() == &Status::Committing => {}
            Transfer::Receive { core, .. } => core.fail(failure),
            Transfer::Send { core, .. } => core.fail(failure),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
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

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let is_late = now >= self.end_by || (!self.is_established() && now >= self.answer_by);
        if is_late && self.status() == &Status::Active {
            self.fail(Failure::TimedOut);
        }
        match &mut self.transfer {
            Transfer::Send { core, .. } => core.handle_timeout(now),
            Transfer::Receive { core, .. } => core.handle_timeout(now),
        }
    }

    /// Handles datagrams of the client.
    pub(super) fn handle(
        &mut self,
        arrivals: &[Arrival<'_>],
        buffer: &mut SendBuffer,
        now: Instant,
        host: &mut dyn Host,
    ) {
        let mut write = Write::default();
        for datagram in arrivals.iter().flat_map(|arrival| arrival.datagrams.iter()) {
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
                // Other packets have no meaning here, and do not end the transfer.
                _ => {}
            }
        }
        // An ACK before the last one is sent before the payloads are written: the client can go on
        // meanwhile.
        self.send_due(buffer, now, host);
        if let Transfer::Receive { core, sink } = &mut self.transfer {
            write.flush(sink, core);
        }
    }

    /// Sends the packets that are due, and commits the file when it is complete.
    pub(super) fn pump(&mut self, buffer: &mut SendBuffer, now: Instant, host: &mut dyn Host) {
        self.send_due(buffer, now, host);
        if let Transfer::Receive { core, sink } = &mut self.transfer
            && core.status() == &Status::Committing
            && let Some(sink) = sink.take()
        {
            host.commit(self.id, sink);
        }
    }

    fn send_due(&mut self, buffer: &mut SendBuffer, now: Instant, host: &mut dyn Host) {
        let Self { port, route, transfer, granted, .. } = self;
        while let Some(datagrams) = transfer.next_packets(granted, buffer, now) {
            let count = datagrams.count();
            match host.send(*port, route, datagrams) {
                Sent::All => transfer.confirm(count, now),
                Sent::First(count) => {
                    transfer.confirm(count, now);
                    transfer.postpone(now);
                    break;
                }
            }
        }
    }

    /// Drops an unfinished upload.
    pub(super) fn discard(&mut self) {
        if let Transfer::Receive { sink, .. } = &mut self.transfer {
            *sink = None;
        }
    }

    pub(super) fn committed(&mut self, result: Result<(), StoreError>, now: Instant) {
        if let Transfer::Receive { core, .. } = &mut self.transfer {
            match result {
                Ok(()) => core.committed(now),
                Err(error) => fail_write(core, &error),
            }
        }
    }

    /// Sends the first packet again, because the client has repeated its request.
    pub(super) fn repeat_opening(&mut self, now: Instant) {
        self.answer_by = now + self.answer_within;
        match &mut self.transfer {
            Transfer::Send { core, .. } => core.repeat_opening(),
            Transfer::Receive { core, .. } => core.repeat_opening(),
        }
    }

    /// Acknowledges the last block of a finished upload again, because its request has arrived once
    /// more; returns whether that request is a late double (T26).
    pub(super) fn handle_double(&mut self, now: Instant) -> bool {
        let Transfer::Receive { core, .. } = &mut self.transfer else { return false };
        let first = *self.doubled.get_or_insert(now);
        now.saturating_duration_since(first) < LATE_DOUBLES && core.repeat_last_ack()
    }

    pub(super) fn started_event(&self) -> Event {
        Event::Started {
            id: self.id,
            direction: self.direction(),
            file: self.file.clone(),
            peer: self.route.peer,
        }
    }

    pub(super) fn finished_event(&self, now: Instant) -> Event {
        Event::Finished {
            id: self.id,
            direction: self.direction(),
            file: self.file.clone(),
            peer: self.route.peer,
            bytes: self.bytes(),
            duration: now.saturating_duration_since(self.started),
            retransmits: self.retransmits(),
        }
    }

    pub(super) fn failed_event(&self, reason: Failure, now: Instant) -> Event {
        Event::Failed {
            id: self.id,
            direction: self.direction(),
            file: self.file.clone(),
            peer: self.route.peer,
            bytes: self.bytes(),
            duration: now.saturating_duration_since(self.started),
            retransmits: self.retransmits(),
            reason,
        }
    }

    fn retransmits(&self) -> u64 {
        match &self.transfer {
            Transfer::Send { core, .. } => core.retransmits(),
            Transfer::Receive { core, .. } => core.retransmits(),
        }
    }

    /// Logs the end of the transfer in one line.
    pub(super) fn log(&self, result: &dyn fmt::Display, now: Instant) {
        let parameters = match &self.transfer {
            Transfer::Send { core, .. } => core.parameters(),
            Transfer::Receive { core, .. } => core.parameters(),
        };
        log::debug!(
            "transfer {}: peer={} direction={} file={:?} bytes={} blksize={} window={} \
             seconds={:.6} retransmits={} result={result}",
            self.id,
            self.route.peer,
            self.direction(),
            self.file,
            self.bytes(),
            parameters.block_size,
            parameters.window_size,
            now.saturating_duration_since(self.started).as_secs_f64(),
            self.retransmits(),
        );
    }
}

impl Transfer {
    /// Returns the packets that are due next.
    fn next_packets<'a>(
        &'a mut self,
        granted: &Options,
        buffer: &'a mut SendBuffer,
        now: Instant,
    ) -> Option<Datagrams<'a>> {
        match self {
            Self::Send { core, source } => match core.poll_transmit(now)? {
                SendStep::OptionAck => Some(put_option_ack(buffer, granted)),
                SendStep::Blocks { first, count } => {
                    let made = buffer.put_blocks(core, source.as_ref(), first, count);
                    made.inspect_err(|_| core.fail_to_read()).ok()
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

fn put_option_ack<'a>(buffer: &'a mut SendBuffer, granted: &Options) -> Datagrams<'a> {
    let pairs = granted.to_pairs();
    let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    buffer.put(&Packet::OptionAck(pairs))
}

/// Consecutive payloads, which one call writes.
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
        if self.payloads.len() >= MAX_PAYLOADS {
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
            fail_write(core, &error);
        }
        self.payloads.clear();
    }
}

/// Ends an upload that could not be stored: the client is sent an ERROR instead of an ACK (T25).
fn fail_write(transfer: &mut ReceiveTransfer, error: &StoreError) {
    let (code, message) = error.reply();
    // RFC 1350 has no code for a disk that fails; a full disk comes closest.
    let code = if matches!(error, StoreError::Io(_)) { ErrorCode::DISK_FULL } else { code };
    transfer.fail(Failure::local(code, message));
}
