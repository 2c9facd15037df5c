//! A blocking client.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client_transfer::{ClientStep, ClientTransfer};
use crate::config::{Offload, Route, buffer_cost};
use crate::engine::{LISTENER, Sent};
use crate::fill::{Packets, SendBuffer};
use crate::numbering::Rollover;
use crate::options::{DEFAULT_BLOCK_SIZE, Options};
use crate::packet::{Direction, ErrorCode, Packet};
use crate::store::Source;
use crate::transfer::{Failure, Status};
use crate::udp::{Inbox, Port, Report};

/// The receive buffer that a client asks for, as the kernel counts it.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Gets files from a server and puts files there.
///
/// ```no_run
/// let server = "192.0.2.1:69".parse().unwrap();
/// let client = bbot_tftp::Client::new(server).block_size(1428).window_size(16);
/// let mut file = Vec::new();
/// client.get("boot/kernel", &mut file)?;
/// # Ok::<(), bbot_tftp::ClientError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    server: SocketAddr,
    options: Options,
    patience: Duration,
    rollover: Rollover,
    offload: Offload,
    spin: Duration,
    dally: Duration,
}

/// What a transfer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The file's length.
    pub bytes: u64,
    /// The time from the request to the last packet.
    pub duration: Duration,
    /// The options that the server granted.
    pub granted: Options,
    /// The packets that were sent again.
    pub retransmits: u64,
}

/// Why a transfer did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no socket, or it does not work.
    Socket(io::Error),
    /// The local file could not be read or written.
    File(io::Error),
    /// The transfer ended early.
    Transfer(Failure),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(_) => f.write_str("cannot use a UDP socket"),
            Self::File(_) => f.write_str("cannot use the local file"),
            Self::Transfer(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket(source) | Self::File(source) => Some(source),
            Self::Transfer(_) => None,
        }
    }
}

impl Client {
    /// A client of one server that asks for no options.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            options: Options::default(),
            patience: Duration::from_secs(30),
            rollover: Rollover::Zero,
            offload: Offload::ALL,
            spin: Duration::ZERO,
            dally: Duration::ZERO,
        }
    }

    /// Asks for blocks of so many bytes.
    #[must_use]
    pub fn block_size(mut self, bytes: u16) -> Self {
        self.options.block_size = Some(bytes);
        self
    }

    /// Asks for windows of so many blocks; fewer where the receive buffer holds fewer.
    #[must_use]
    pub fn window_size(mut self, blocks: u16) -> Self {
        self.options.window_size = Some(blocks);
        self
    }

    /// Asks for a fixed retransmission interval; without it both ends adapt theirs.
    #[must_use]
    pub fn timeout(mut self, seconds: u8) -> Self {
        self.options.timeout = Some(seconds);
        self
    }

    /// Asks for the file's size in a GET, and announces it in a PUT.
    #[must_use]
    pub fn transfer_size(mut self) -> Self {
        self.options.transfer_size = Some(0);
        self
    }

    /// Gives up after so long without progress.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Says what follows block 65535.
    #[must_use]
    pub fn rollover(self, rollover: Rollover) -> Self {
        Self { rollover, ..self }
    }

    /// Says which faster system calls are tried.
    #[must_use]
    pub fn offload(self, offload: Offload) -> Self {
        Self { offload, ..self }
    }

    /// Looks for the next packet for so long before it sleeps.
    #[must_use]
    pub fn spin(self, spin: Duration) -> Self {
        Self { spin, ..self }
    }

    /// After a GET, still acknowledges a repeated last block for so long.
    #[must_use]
    pub fn dally(self, dally: Duration) -> Self {
        Self { dally, ..self }
    }

    /// Gets a file.
    ///
    /// # Errors
    /// The transfer fails, or `file` cannot be written; it may then hold a part of the file.
    pub fn get(&self, name: &str, file: &mut dyn Write) -> Result<Transferred, ClientError> {
        self.get_with(name, file, &mut |_, _| {})
    }

    /// Gets a file, and reports the bytes so far and the size, if the server tells it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_with(
        &self,
        name: &str,
        file: &mut dyn Write,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Transferred, ClientError> {
        self.run(Direction::Get, name, &mut Local::File(file), progress)
    }

    /// Puts a file.
    ///
    /// # Errors
    /// The transfer fails, or `file` cannot be read.
    pub fn put(&self, name: &str, file: &dyn Source) -> Result<Transferred, ClientError> {
        self.put_with(name, file, &mut |_, _| {})
    }

    /// Puts a file, and reports the bytes so far and the size.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_with(
        &self,
        name: &str,
        file: &dyn Source,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Transferred, ClientError> {
        self.run(Direction::Put, name, &mut Local::Source(file), progress)
    }

    fn run(
        &self,
        direction: Direction,
        name: &str,
        local: &mut Local<'_>,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Transferred, ClientError> {
        let mut link = Link::open(self)?;
        // A lone packet at a time needs no room for many.
        let windowed = self.options.window_size.is_some_and(|w| w > 1);
        let mut inbox = Inbox::new(windowed && self.offload.batches);
        let started = Instant::now();
        let mut asked = self.options;
        asked.window_size = asked.window_size.map(|w| w.min(link.window(&asked)));
        let size = local.size();
        if direction == Direction::Put {
            asked.transfer_size = asked.transfer_size.map(|_| size);
        }
        let (rollover, patience) = (self.rollover, self.patience);
        let mut transfer =
            ClientTransfer::new(direction, name, asked, size, rollover, patience, started);
        let mut reported = 0;
        loop {
            link.pump(&mut transfer, local);
            if transfer.bytes() > reported {
                reported = transfer.bytes();
                let offered = (direction == Direction::Put).then_some(size);
                progress(reported, offered.or_else(|| transfer.granted().transfer_size));
            }
            match transfer.status() {
                Status::Committing => {
                    local.flush().map_err(ClientError::File)?;
                    transfer.committed(Instant::now());
                }
                Status::Dallying | Status::Done => break,
                Status::Failed(failure) => return Err(link.give_up(failure.clone(), local)),
                Status::Active => link.exchange(&mut inbox, &mut transfer, local)?,
            }
        }
        link.pump(&mut transfer, local);
        let done = Transferred {
            bytes: transfer.bytes(),
            duration: started.elapsed(),
            granted: *transfer.granted(),
            retransmits: transfer.retransmits(),
        };
        link.dally(&mut inbox, &mut transfer, local, self.dally)?;
        Ok(done)
    }
}

/// The local end of a file.
enum Local<'a> {
    File(&'a mut dyn Write),
    Source(&'a dyn Source),
    /// A file that could not be used.
    Broken(Option<io::Error>),
}

impl Local<'_> {
    fn size(&self) -> u64 {
        if let Self::Source(source) = self { source.size() } else { 0 }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Self::File(file) = self { file.flush() } else { Ok(()) }
    }

    fn write(&mut self, mut payloads: &mut [IoSlice<'_>]) -> io::Result<()> {
        let Self::File(file) = self else { return Ok(()) };
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

/// The client's socket and its buffers.
struct Link {
    port: Port,
    buffer: SendBuffer,
    server: SocketAddr,
    /// Where the server's answers come from.
    peer: Option<SocketAddr>,
    room: usize,
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
        let windowed = client.options.window_size.is_some_and(|w| w > 1);
        if windowed {
            port.expect_windows();
        }
        let room = port.receive_buffer(if windowed { RECEIVE_BUFFER } else { 0 });
        Ok(Self {
            port,
            buffer: SendBuffer::new(),
            server: client.server,
            peer: None,
            room,
            spin: client.spin,
        })
    }

    /// The widest window that the receive buffer holds.
    fn window(&self, asked: &Options) -> u16 {
        let block_size = asked.block_size.unwrap_or(DEFAULT_BLOCK_SIZE);
        u16::try_from(self.room / buffer_cost(block_size)).unwrap_or(u16::MAX).max(1)
    }

    /// Sends what is due.
    fn pump(&mut self, transfer: &mut ClientTransfer, local: &mut Local<'_>) {
        let now = Instant::now();
        let route = Route { peer: self.peer.unwrap_or(self.server), local: None };
        while let Some(step) = transfer.poll_transmit(now) {
            let packets = match step {
                ClientStep::Request => Packets::one(transfer.request()),
                ClientStep::Ack(block) => self.buffer.put(&Packet::Ack { block }),
                ClientStep::Blocks(first, count) => {
                    let Local::Source(source) = local else { return };
                    let Some(core) = transfer.sending() else { return };
                    match self.buffer.put_blocks(core, *source, first, count) {
                        Ok(packets) => packets,
                        Err(error) => {
                            core.unreadable();
                            *local = Local::Broken(Some(error));
                            return;
                        }
                    }
                }
            };
            let count = packets.count();
            let sent = match self.port.send(&route, packets.bytes, packets.segment) {
                Sent::All => count,
                Sent::Some(sent) => sent,
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

    /// Waits for a packet or a deadline, and takes what has come.
    fn exchange(
        &mut self,
        inbox: &mut Inbox,
        transfer: &mut ClientTransfer,
        local: &mut Local<'_>,
    ) -> Result<(), ClientError> {
        if self.wait(transfer.poll_timeout())? {
            self.receive(inbox, transfer, local);
        }
        let mut closed = false;
        while let Some(report) = self.port.next_error() {
            closed |= report == Report::ClosedPort(self.peer.unwrap_or(self.server));
        }
        if closed {
            // What the server said before it went counts more.
            while transfer.status() == &Status::Active && self.wait(Some(Instant::now()))? {
                self.receive(inbox, transfer, local);
            }
            transfer.fail(Failure::Unreachable);
        }
        transfer.handle_timeout(Instant::now());
        Ok(())
    }

    fn receive(&mut self, inbox: &mut Inbox, transfer: &mut ClientTransfer, local: &mut Local<'_>) {
        inbox.clear();
        // What looked readable may have been an error or a broken checksum.
        if self.port.receive(LISTENER, inbox).is_err() {
            return;
        }
        let now = Instant::now();
        let mut strangers = Vec::new();
        let mut payloads = Vec::new();
        for arrival in inbox.arrivals() {
            let route = arrival.route;
            for datagram in arrival.datagrams() {
                let expected = match self.peer {
                    Some(peer) => route.peer == peer,
                    None => route.peer.ip() == self.server.ip(),
                };
                if !expected {
                    strangers.push((route, datagram.get(1) == Some(&5)));
                    continue;
                }
                payloads.extend(transfer.handle(datagram, now).map(IoSlice::new));
                if transfer.is_answered() {
                    self.peer.get_or_insert(route.peer);
                }
            }
        }
        // The server reads on while this end writes.
        self.pump(transfer, local);
        if let Err(error) = local.write(&mut payloads) {
            transfer.fail(Failure::local(ErrorCode::DISK_FULL, "cannot write the file"));
            *local = Local::Broken(Some(error));
        }
        for (route, is_error) in strangers {
            if !is_error {
                self.send_error(&route, ErrorCode::UNKNOWN_TID, "unknown transfer id");
            }
        }
    }

    /// Tells the server, if it has to be told.
    fn give_up(&mut self, failure: Failure, local: &mut Local<'_>) -> ClientError {
        if let (Some(peer), Some((code, message))) = (self.peer, failure.reply()) {
            self.send_error(&Route { peer, local: None }, code, message);
        }
        match local {
            Local::Broken(error) if error.is_some() => {
                ClientError::File(error.take().unwrap_or_else(|| io::ErrorKind::Other.into()))
            }
            _ => ClientError::Transfer(failure),
        }
    }

    fn dally(
        &mut self,
        inbox: &mut Inbox,
        transfer: &mut ClientTransfer,
        local: &mut Local<'_>,
        limit: Duration,
    ) -> Result<(), ClientError> {
        let until = Instant::now() + limit;
        while transfer.status() == &Status::Dallying && Instant::now() < until {
            if self.wait(Some(until))? {
                self.receive(inbox, transfer, local);
            }
        }
        Ok(())
    }

    /// Waits until there is a packet (true) or the deadline is reached.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool, ClientError> {
        let now = Instant::now();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        let spin_until = now + self.spin.min(left.unwrap_or(self.spin));
        let mut fds = [PollFd::new(&self.port, PollFlags::IN)];
        loop {
            let spinning = Instant::now() < spin_until;
            let timeout = if spinning { Some(Duration::ZERO) } else { left };
            let timeout = timeout.map(|t| Timespec {
                tv_sec: t.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: t.subsec_nanos().into(),
            });
            match poll(&mut fds, timeout.as_ref()) {
                // Whoever is to send the packet may be waiting for this very processor.
                Ok(0) if spinning => std::thread::yield_now(),
                Ok(count) => return Ok(count > 0),
                // The caller comes back with the time that is left.
                Err(rustix::io::Errno::INTR) => return Ok(false),
                Err(error) => return Err(ClientError::Socket(error.into())),
            }
        }
    }

    fn send_error(&mut self, route: &Route, code: ErrorCode, message: &str) {
        let mut bytes = Vec::with_capacity(64);
        Packet::Error { code, message: message.as_bytes() }.encode(&mut bytes);
        // Sent once, as RFC 1350 says; the other end has a timer.
        let _ = self.port.send(route, &bytes, bytes.len());
    }
}
