//! A blocking client.

use std::io::{self, IoSlice, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU16};
use std::time::{Duration, Instant};

use crate::config::Offload;
use crate::engine::SendBuffer;
use crate::error::ClientError;
use crate::net::{Inbox, Port, Report, wait_readable};
use crate::protocol::{
    BlockSize, ClientParameters, ClientStep, ClientTransfer, Datagrams, ErrorCode, Failure,
    MAX_TIME, Options, Packet, PortId, Rollover, Route, Sent, Status, datagram_cost,
    may_be_requested,
};
use crate::store::Source;

/// The size of the receive buffer that a client requests, in bytes, as the kernel counts it.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Gets files from a server and puts files there.
///
/// ```no_run
/// use bbot_tftp::{BlockSize, Client};
/// use std::num::NonZeroU16;
/// let client = Client::new("192.0.2.1:69".parse()?)
///     .block_size("1428".parse()?)
///     .window_size(NonZeroU16::new(16).unwrap());
/// let mut file = Vec::new();
/// let summary = client.get("boot/kernel", &mut file)?;
/// assert_eq!(summary.bytes, file.len() as u64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    server: SocketAddr,
    parameters: ClientParameters,
    offload: Offload,
    spin: Duration,
    dally: Duration,
}

/// The result of a transfer that has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TransferSummary {
    /// The file's length, in bytes.
    pub bytes: u64,
    /// The time from the request to the last packet.
    pub duration: Duration,
    /// The options that the server has granted.
    pub granted: Options,
    /// The number of packets that were sent more than once.
    pub retransmits: u64,
}

/// The progress of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Progress {
    /// The number of bytes that have been transferred so far.
    pub bytes: u64,
    /// The file's length, in bytes, where it is known: of a file that is read, it is known if the
    /// client has requested it ([`Client::transfer_size`]) and the server has granted that.
    pub size: Option<u64>,
}

impl Client {
    /// A client of one server, which requests no options.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            parameters: ClientParameters::default(),
            offload: Offload::ALL,
            spin: Duration::ZERO,
            dally: Duration::ZERO,
        }
    }

    /// Requests blocks of this size.
    #[must_use]
    pub fn block_size(mut self, block_size: BlockSize) -> Self {
        self.parameters.options.block_size = Some(block_size);
        self
    }

    /// Requests windows of this number of blocks, or fewer if the receive buffer holds fewer.
    #[must_use]
    pub fn window_size(mut self, blocks: NonZeroU16) -> Self {
        self.parameters.options.window_size = Some(blocks);
        self
    }

    /// Requests a fixed interval of retransmissions; without it, both ends adapt theirs.
    #[must_use]
    pub fn timeout(mut self, seconds: NonZeroU8) -> Self {
        self.parameters.options.timeout = Some(seconds);
        self
    }

    /// Requests the length of a file that is read, and declares that of a file that is written.
    #[must_use]
    pub fn transfer_size(mut self) -> Self {
        self.parameters.options.transfer_size = Some(0);
        self
    }

    /// Sets the maximum time without progress; by default 30 s.
    #[must_use]
    pub fn idle_limit(mut self, idle_limit: Duration) -> Self {
        self.parameters.idle_limit = idle_limit;
        self
    }

    /// Sets the number on the wire that follows 65535; by default 0.
    #[must_use]
    pub fn rollover(mut self, rollover: Rollover) -> Self {
        self.parameters.rollover = rollover;
        self
    }

    /// Sets the system calls that may be used for many packets at once; by default all.
    #[must_use]
    pub fn offload(self, offload: Offload) -> Self {
        Self { offload, ..self }
    }

    /// Sets the time for which the client polls for a packet before it sleeps; by default zero.
    #[must_use]
    pub fn spin(self, spin: Duration) -> Self {
        Self { spin, ..self }
    }

    /// Sets the time after a file was read for which a repeated last block is still acknowledged;
    /// by default zero.
    #[must_use]
    pub fn dally(self, dally: Duration) -> Self {
        Self { dally, ..self }
    }

    /// Gets the file `name` and writes it into `file`, which is flushed before the server is told
    /// that all of it has arrived. An [`AtomicFile`](crate::AtomicFile) keeps an older file where
    /// this fails.
    ///
    /// # Errors
    /// The name is not possible, the transfer fails, or `file` cannot be written; a part of the
    /// file may have been written.
    pub fn get(&self, name: &str, file: impl Write) -> Result<TransferSummary, ClientError> {
        self.get_with_progress(name, file, |_| {})
    }

    /// Gets the file `name`, writes it into `file`, and reports the progress.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_with_progress(
        &self,
        name: &str,
        mut file: impl Write,
        mut progress: impl FnMut(Progress),
    ) -> Result<TransferSummary, ClientError> {
        check_name(name)?;
        let link = Link::open(self)?;
        let started = Instant::now();
        let transfer = ClientTransfer::get(name, self.fitting_parameters(&link), started);
        self.run(link, transfer, &mut LocalFile::Write(&mut file), &mut progress, started)
    }

    /// Puts `file` there under the name `name`.
    ///
    /// # Errors
    /// The name is not possible, the transfer fails, or `file` cannot be read.
    pub fn put(&self, name: &str, file: &dyn Source) -> Result<TransferSummary, ClientError> {
        self.put_with_progress(name, file, |_| {})
    }

    /// Puts `file` there under the name `name`, and reports the progress.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_with_progress(
        &self,
        name: &str,
        file: &dyn Source,
        mut progress: impl FnMut(Progress),
    ) -> Result<TransferSummary, ClientError> {
        check_name(name)?;
        let link = Link::open(self)?;
        let started = Instant::now();
        let parameters = self.fitting_parameters(&link);
        let transfer = ClientTransfer::put(name, file.size(), parameters, started);
        self.run(link, transfer, &mut LocalFile::Read(file), &mut progress, started)
    }

    /// The parameters with a window that the receive buffer holds (T11).
    fn fitting_parameters(&self, link: &Link) -> ClientParameters {
        let mut parameters = self.parameters;
        let options = &mut parameters.options;
        let block_size = options.block_size.unwrap_or_default();
        options.window_size = options.window_size.map(|w| w.min(link.max_window_size(block_size)));
        parameters
    }

    fn requests_window(&self) -> bool {
        self.parameters.options.window_size.is_some_and(|blocks| blocks.get() > 1)
    }

    fn run(
        &self,
        mut link: Link,
        mut transfer: ClientTransfer,
        local: &mut LocalFile<'_>,
        progress: &mut dyn FnMut(Progress),
        started: Instant,
    ) -> Result<TransferSummary, ClientError> {
        // Without windows, packets arrive one by one.
        let mut inbox = Inbox::new(self.requests_window() && self.offload.batches);
        let mut reported = 0;
        loop {
            link.pump(&mut transfer, local);
            if transfer.bytes() > reported {
                reported = transfer.bytes();
                let size = local.size().or_else(|| transfer.granted().transfer_size);
                progress(Progress { bytes: reported, size });
            }
            match transfer.status() {
                Status::Committing => match local.flush() {
                    Ok(()) => transfer.committed(Instant::now()),
                    Err(error) => local.fail(error, &mut transfer),
                },
                Status::Dallying | Status::Done => break,
                Status::Failed(failure) => return Err(link.give_up(failure.clone(), local)),
                Status::Active => link.exchange(&mut inbox, &mut transfer, local)?,
            }
        }
        link.pump(&mut transfer, local);
        let summary = TransferSummary {
            bytes: transfer.bytes(),
            duration: started.elapsed(),
            granted: *transfer.granted(),
            retransmits: transfer.retransmits(),
        };
        link.dally(&mut inbox, &mut transfer, local, self.dally)?;
        Ok(summary)
    }
}

fn check_name(name: &str) -> Result<(), ClientError> {
    if may_be_requested(name) { Ok(()) } else { Err(ClientError::Name(name.to_owned())) }
}

/// The local file.
enum LocalFile<'a> {
    Write(&'a mut dyn Write),
    Read(&'a dyn Source),
    /// The file could not be read or written.
    Failed(Option<io::Error>),
}

impl LocalFile<'_> {
    /// The length of a file that is sent.
    fn size(&self) -> Option<u64> {
        if let Self::Read(source) = self { Some(source.size()) } else { None }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Self::Write(file) = self { file.flush() } else { Ok(()) }
    }

    /// Ends the transfer because the file cannot be written.
    fn fail(&mut self, error: io::Error, transfer: &mut ClientTransfer) {
        transfer.fail(Failure::local(ErrorCode::DISK_FULL, "cannot write the file"));
        *self = Self::Failed(Some(error));
    }

    fn write(&mut self, mut payloads: &mut [IoSlice<'_>]) -> io::Result<()> {
        let Self::Write(file) = self else { return Ok(()) };
        while !payloads.is_empty() {
            match file.write_vectored(payloads) {
                Ok(0) if payloads.iter().all(|p| p.is_empty()) => break,
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut payloads, count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The socket of a transfer, and its buffers.
struct Link {
    port: Port,
    buffer: SendBuffer,
    server: SocketAddr,
    /// The address and port that the server has answered from.
    peer: Option<SocketAddr>,
    /// The size of the receive buffer.
    receive_buffer: usize,
    spin: Duration,
}

impl Link {
    fn open(client: &Client) -> Result<Self, ClientError> {
        let any: IpAddr = match client.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut port =
            Port::bind(SocketAddr::new(any, 0), client.offload).map_err(ClientError::Socket)?;
        let has_window = client.requests_window();
        if has_window {
            port.expect_windows();
        }
        let requested = if has_window { RECEIVE_BUFFER } else { 0 };
        let receive_buffer = port.request_receive_buffer(requested);
        Ok(Self {
            port,
            buffer: SendBuffer::new(),
            server: client.server,
            peer: None,
            receive_buffer,
            spin: client.spin,
        })
    }

    /// The largest window that the receive buffer holds.
    fn max_window_size(&self, block_size: BlockSize) -> NonZeroU16 {
        let blocks = self.receive_buffer / datagram_cost(block_size);
        NonZeroU16::new(u16::try_from(blocks).unwrap_or(u16::MAX)).unwrap_or(NonZeroU16::MIN)
    }

    /// Sends the packets that are due.
    fn pump(&mut self, transfer: &mut ClientTransfer, local: &mut LocalFile<'_>) {
        let now = Instant::now();
        let route = Route::new(self.peer.unwrap_or(self.server));
        while let Some(step) = transfer.poll_transmit(now) {
            let datagrams = match step {
                ClientStep::Request => Datagrams::one(transfer.request()),
                ClientStep::Ack(block) => self.buffer.put(&Packet::Ack { block }),
                ClientStep::Blocks { first, count } => {
                    let LocalFile::Read(source) = local else { return };
                    let Some(core) = transfer.sending() else { return };
                    match self.buffer.put_blocks(core, *source, first, count) {
                        Ok(datagrams) => datagrams,
                        Err(error) => {
                            core.fail_to_read();
                            *local = LocalFile::Failed(Some(error));
                            return;
                        }
                    }
                }
            };
            let count = datagrams.count();
            let sent = match self.port.send(&route, datagrams) {
                Sent::All => count,
                Sent::First(sent) => sent,
            };
            transfer.transmitted(u16::try_from(sent).unwrap_or(u16::MAX), now);
            if sent < count {
                if let Some(core) = transfer.sending() {
                    core.postpone(now);
                }
                break;
            }
        }
    }

    /// Waits for a packet or a deadline, and handles it.
    fn exchange(
        &mut self,
        inbox: &mut Inbox,
        transfer: &mut ClientTransfer,
        local: &mut LocalFile<'_>,
    ) -> Result<(), ClientError> {
        if self.wait(transfer.poll_timeout())? {
            self.receive(inbox, transfer, local);
        }
        let mut closed = false;
        while let Some(report) = self.port.next_error() {
            closed |= report == Report::ClosedPort(self.peer.unwrap_or(self.server));
        }
        if closed {
            // Packets that the server has sent before take precedence.
            while transfer.status() == &Status::Active && self.wait(Some(Instant::now()))? {
                self.receive(inbox, transfer, local);
            }
            transfer.fail(Failure::Unreachable);
        }
        transfer.handle_timeout(Instant::now());
        Ok(())
    }

    fn receive(
        &mut self,
        inbox: &mut Inbox,
        transfer: &mut ClientTransfer,
        local: &mut LocalFile<'_>,
    ) {
        inbox.clear();
        // A socket is also readable because of an error or a wrong checksum. The inbox is of this
        // port only, so that its identity has no meaning.
        if self.port.receive(PortId::Listener, inbox).is_err() {
            return;
        }
        let now = Instant::now();
        let mut unknown_senders = Vec::new();
        let mut payloads = Vec::new();
        for arrival in inbox.arrivals() {
            let route = arrival.route;
            for datagram in arrival.datagrams.iter() {
                let is_expected = match self.peer {
                    Some(peer) => route.peer == peer,
                    None => route.peer.ip() == self.server.ip(),
                };
                if !is_expected {
                    unknown_senders.push((route, datagram.get(1) == Some(&5)));
                    continue;
                }
                payloads.extend(transfer.handle(datagram, now).map(IoSlice::new));
                if transfer.is_answered() {
                    self.peer.get_or_insert(route.peer);
                }
            }
        }
        // The ACK is sent before the payloads are written: the server can go on meanwhile.
        self.pump(transfer, local);
        if let Err(error) = local.write(&mut payloads) {
            local.fail(error, transfer);
        }
        // T2: other senders get an ERROR, but an ERROR is not answered.
        for (route, is_error) in unknown_senders {
            if !is_error {
                self.send_error(&route, ErrorCode::UNKNOWN_TID, "unknown transfer id");
            }
        }
    }

    /// Sends the server an ERROR, if it is to get one, and returns the cause of the failure.
    fn give_up(&mut self, failure: Failure, local: &mut LocalFile<'_>) -> ClientError {
        if let (Some(peer), Some((code, message))) = (self.peer, failure.reply()) {
            self.send_error(&Route::new(peer), code, message);
        }
        match local {
            LocalFile::Failed(error) if error.is_some() => {
                ClientError::File(error.take().unwrap_or_else(|| io::ErrorKind::Other.into()))
            }
            _ => ClientError::Transfer(failure),
        }
    }

    fn dally(
        &mut self,
        inbox: &mut Inbox,
        transfer: &mut ClientTransfer,
        local: &mut LocalFile<'_>,
        limit: Duration,
    ) -> Result<(), ClientError> {
        let until = Instant::now() + limit.min(MAX_TIME);
        while transfer.status() == &Status::Dallying && Instant::now() < until {
            if self.wait(Some(until))? {
                self.receive(inbox, transfer, local);
            }
        }
        Ok(())
    }

    /// Waits for a packet or until the deadline is reached; returns whether there is a packet.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool, ClientError> {
        let now = Instant::now();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        let spin_until = now + self.spin.min(left.unwrap_or(MAX_TIME)).min(MAX_TIME);
        loop {
            let is_spinning = Instant::now() < spin_until;
            let timeout = if is_spinning { Some(Duration::ZERO) } else { left };
            match wait_readable(&self.port, timeout) {
                // The server may be waiting for this processor.
                Ok(false) if is_spinning => std::thread::yield_now(),
                Ok(is_readable) => return Ok(is_readable),
                Err(errno) => return Err(ClientError::Socket(errno.into())),
            }
        }
    }

    fn send_error(&mut self, route: &Route, code: ErrorCode, message: &str) {
        let mut bytes = Vec::with_capacity(64);
        Packet::Error { code, message: message.as_bytes() }.encode(&mut bytes);
        // An ERROR is sent once (RFC 1350 section 7); if it is lost, the peer's timer ends the
        // transfer.
        let _ = self.port.send(route, Datagrams::one(&bytes));
    }
}
