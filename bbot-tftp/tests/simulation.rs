//! Client and server over a network that loses, duplicates, delays and reorders packets, in virtual
//! time.
//!
//! The property of all tests: the content is equal, or an end reports a failure; both ends never
//! report success with different content.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod virtual_server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bbot_tftp::{
    BlockSize, ClientParameters, ClientStep, ClientTransfer, Direction, Event, Options, Packet,
    PortId, Request, Rollover, ServerConfig, Status,
};
use virtual_server::{VirtualServer, port_of};

const LISTENER: PortId = PortId::Listener;
const IDLE_LIMIT: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

/// One end of a transfer.
trait End {
    fn receive(&mut self, port: PortId, bytes: &[u8], now: Instant);
    fn timeout(&mut self, now: Instant);
    /// The packets that are due, with the server's port that they are sent from or to.
    fn sent(&mut self, now: Instant) -> Vec<(PortId, Vec<u8>)>;
    fn deadline(&self) -> Option<Instant>;
    /// Whether the transfer has succeeded for this end; `None` while it is in progress.
    fn outcome(&self) -> Option<bool>;
    fn content(&self) -> Vec<u8>;
}

/// The client of this crate.
struct OurClient {
    transfer: ClientTransfer,
    content: Vec<u8>,
    direction: Direction,
    port: PortId,
}

impl OurClient {
    fn new(direction: Direction, options: Options, content: &[u8], now: Instant) -> Self {
        let parameters =
            ClientParameters::default().with_options(options).with_idle_limit(IDLE_LIMIT);
        let transfer = match direction {
            Direction::Get => ClientTransfer::get("file", parameters, now),
            Direction::Put => ClientTransfer::put("file", content.len() as u64, parameters, now),
        };
        let content = if direction == Direction::Put { content.to_vec() } else { Vec::new() };
        Self { transfer, content, direction, port: LISTENER }
    }
}

impl End for OurClient {
    fn receive(&mut self, port: PortId, bytes: &[u8], now: Instant) {
        if self.port != LISTENER && port != self.port {
            return;
        }
        if let Some(payload) = self.transfer.handle(bytes, now) {
            self.content.extend(payload);
        }
        if self.transfer.is_answered() {
            self.port = port;
        }
        if self.transfer.status() == &Status::Committing {
            self.transfer.committed(now);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.transfer.handle_timeout(now);
    }

    fn sent(&mut self, now: Instant) -> Vec<(PortId, Vec<u8>)> {
        let mut packets = Vec::new();
        while let Some(step) = self.transfer.poll_transmit(now) {
            match step {
                ClientStep::Request => {
                    packets.push((LISTENER, self.transfer.request().to_vec()));
                }
                ClientStep::Ack(block) => packets.push((self.port, encode(&Packet::Ack { block }))),
                ClientStep::Blocks { first, count } => {
                    let core = self.transfer.sending().unwrap();
                    for block in first..first + u64::from(count) {
                        let (offset, length) = core.payload(block);
                        let offset = usize::try_from(offset).unwrap();
                        let payload = &self.content[offset..offset + length];
                        let block = core.wire_number(block);
                        packets.push((self.port, encode(&Packet::Data { block, payload })));
                    }
                    core.transmitted(count, now);
                }
            }
        }
        packets
    }

    fn deadline(&self) -> Option<Instant> {
        self.transfer.poll_timeout()
    }

    fn outcome(&self) -> Option<bool> {
        match self.transfer.status() {
            Status::Active | Status::Committing => None,
            Status::Dallying | Status::Done => Some(true),
            Status::Failed(_) => Some(false),
        }
    }

    fn content(&self) -> Vec<u8> {
        assert_eq!(self.direction, Direction::Get);
        self.content.clone()
    }
}

const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 7], 7777);

/// The server of this crate.
struct OurServer(VirtualServer);

impl OurServer {
    fn new(content: &[u8], rollover: Rollover, now: Instant) -> Self {
        let config = ServerConfig::default().with_rollover(rollover);
        let mut server = VirtualServer::new(config);
        server.store.put("file", content);
        // Windows of the largest blocks fit.
        server.host.receive_buffer = 16 << 20;
        server.now = now;
        Self(server)
    }
}

impl End for OurServer {
    fn receive(&mut self, port: PortId, bytes: &[u8], now: Instant) {
        self.0.now = now;
        if port == LISTENER || self.0.host.ports.contains(&port) {
            self.0.receive(SocketAddr::from(CLIENT), port, bytes);
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.0.now = now;
        self.0.pass(Duration::ZERO);
    }

    fn sent(&mut self, now: Instant) -> Vec<(PortId, Vec<u8>)> {
        self.0.now = now;
        self.0.commit();
        self.0.sent().into_iter().map(|packet| (packet.port, packet.bytes)).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.engine.poll_timeout()
    }

    fn outcome(&self) -> Option<bool> {
        self.0.host.events.iter().find_map(|event| match event {
            Event::Finished { .. } => Some(true),
            Event::Failed { .. } | Event::Refused { .. } => Some(false),
            _ => None,
        })
    }

    fn content(&self) -> Vec<u8> {
        self.0.store.get("file").unwrap()
    }
}

/// An independent implementation of RFC 1350 only: blocks of 512 bytes, one at a time, a timer of
/// one second.
struct Minimal {
    sends: bool,
    content: Vec<u8>,
    /// The block that was sent last, or is expected next.
    block: usize,
    last: Option<(PortId, Vec<u8>)>,
    due: bool,
    timer: Option<Instant>,
    tries: u32,
    outcome: Option<bool>,
    server: bool,
    port: PortId,
}

impl Minimal {
    fn client(direction: Direction, content: &[u8]) -> Self {
        let request = Request { direction, name: b"file", mode: b"octet", options: Vec::new() };
        let last = Some((LISTENER, encode(&Packet::Request(request))));
        let sends = direction == Direction::Put;
        let block = usize::from(!sends);
        Self { last, due: true, block, ..Self::new(sends, false, content) }
    }

    /// A server that awaits a request.
    fn server(direction: Direction, content: &[u8]) -> Self {
        Self::new(direction == Direction::Get, true, content)
    }

    fn new(sends: bool, server: bool, content: &[u8]) -> Self {
        let content = if sends { content.to_vec() } else { Vec::new() };
        Self {
            sends,
            content,
            block: 0,
            last: None,
            due: false,
            timer: None,
            tries: 0,
            outcome: None,
            server,
            port: if server { port_of(1) } else { LISTENER },
        }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        self.last = Some((self.port, encode(packet)));
        self.due = true;
        self.tries = 0;
        self.timer = None;
    }

    fn send_block(&mut self) {
        let start = ((self.block - 1) * 512).min(self.content.len());
        let payload = self.content[start..(start + 512).min(self.content.len())].to_vec();
        let block = u16::try_from(self.block % 65536).unwrap();
        self.send(&Packet::Data { block, payload: &payload });
    }

    fn acknowledge(&mut self, block: u16) {
        self.send(&Packet::Ack { block });
    }
}

impl End for Minimal {
    fn receive(&mut self, port: PortId, bytes: &[u8], _: Instant) {
        let packet = Packet::decode(bytes).unwrap();
        if !self.server {
            self.port = port;
        }
        let expected = u16::try_from(self.block % 65536).unwrap();
        match packet {
            Packet::Request(_) if self.server && self.last.is_none() => {
                self.block = 1;
                if self.sends { self.send_block() } else { self.acknowledge(0) }
            }
            Packet::Ack { block } if self.sends && block == expected && self.last.is_some() => {
                if self.block > 0 && self.block * 512 > self.content.len() {
                    self.outcome = Some(true);
                    self.timer = None;
                    self.last = None;
                } else {
                    self.block += 1;
                    self.send_block();
                }
            }
            Packet::Data { block, payload } if !self.sends && block == expected => {
                self.content.extend(payload);
                self.block += 1;
                self.acknowledge(block);
                if payload.len() < 512 {
                    self.outcome = Some(true);
                }
            }
            // The ACK was lost.
            Packet::Data { block, .. } if !self.sends && block == expected.wrapping_sub(1) => {
                self.acknowledge(block);
            }
            Packet::Error { .. } => self.outcome = self.outcome.or(Some(false)),
            _ => {}
        }
    }

    fn timeout(&mut self, now: Instant) {
        if self.timer.take_if(|at| *at <= now).is_some() && self.outcome.is_none() {
            self.tries += 1;
            self.due = true;
            if self.tries > 30 {
                self.outcome = Some(false);
            }
        }
    }

    fn sent(&mut self, now: Instant) -> Vec<(PortId, Vec<u8>)> {
        if !std::mem::take(&mut self.due) {
            return Vec::new();
        }
        self.timer = Some(now + Duration::from_secs(1)).filter(|_| self.outcome.is_none());
        self.last.clone().into_iter().collect()
    }

    fn deadline(&self) -> Option<Instant> {
        self.timer.filter(|_| self.outcome.is_none())
    }

    fn outcome(&self) -> Option<bool> {
        self.outcome
    }

    fn content(&self) -> Vec<u8> {
        self.content.clone()
    }
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// The delays of the copies of the `n`-th packet that arrive.
type Network<'a> = &'a mut dyn FnMut(usize) -> Vec<Duration>;

/// Passes packets between two ends until both have ended; returns their outcomes.
fn run(
    client: &mut dyn End,
    server: &mut dyn End,
    now: Instant,
    network: Network<'_>,
) -> (Option<bool>, Option<bool>) {
    let mut now = now;
    let limit = now + Duration::from_secs(3600);
    let mut queue: BTreeMap<(Instant, usize), (bool, PortId, Vec<u8>)> = BTreeMap::new();
    let (mut number, mut copies) = (0, 0);
    loop {
        for to_server in [true, false] {
            let packets = if to_server { client.sent(now) } else { server.sent(now) };
            for (port, bytes) in packets {
                for delay in network(number) {
                    copies += 1;
                    queue.insert((now + delay, copies), (to_server, port, bytes.clone()));
                }
                number += 1;
            }
        }
        if client.outcome().is_some() && server.outcome().is_some() && queue.is_empty() {
            break;
        }
        let packet = queue.first_key_value().map(|((at, _), _)| *at);
        let next = [packet, client.deadline(), server.deadline()].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at < limit) else { break };
        now = now.max(at);
        if packet.is_some_and(|at| at <= now) {
            let (_, (to_server, port, bytes)) = queue.pop_first().unwrap();
            if to_server {
                server.receive(port, &bytes, now);
            } else {
                client.receive(port, &bytes, now);
            }
        } else {
            client.timeout(now);
            server.timeout(now);
        }
    }
    (client.outcome(), server.outcome())
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 251) % 251).unwrap()).collect()
}

fn options(block_size: u16, window_size: u16) -> Options {
    let window_size = NonZeroU16::new(window_size).filter(|blocks| blocks.get() > 1);
    Options { block_size: BlockSize::new(block_size), window_size, ..Options::default() }
}

/// The ends of a transfer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// Both are of this crate; the client requests these options.
    Both(Options),
    MinimalClient,
    MinimalServer,
}

/// The outcome of a transfer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// It succeeded for both ends.
    Confirmed,
    /// It succeeded, but the client lost the packets that confirm it.
    Unconfirmed,
    Failed,
}

#[track_caller]
fn check(ends: Ends, direction: Direction, length: usize, network: Network<'_>) -> Ending {
    let now = Instant::now();
    let sent = content(length);
    let before: &[u8] = if direction == Direction::Get { &sent } else { b"old" };
    let mut client: Box<dyn End> = match ends {
        Ends::Both(options) => Box::new(OurClient::new(direction, options, &sent, now)),
        Ends::MinimalServer => Box::new(OurClient::new(direction, Options::default(), &sent, now)),
        Ends::MinimalClient => Box::new(Minimal::client(direction, &sent)),
    };
    let mut server: Box<dyn End> = match ends {
        Ends::MinimalServer => Box::new(Minimal::server(direction, &sent)),
        _ => Box::new(OurServer::new(before, Rollover::Zero, now)),
    };
    let outcomes = run(client.as_mut(), server.as_mut(), now, network);
    let receiver = if direction == Direction::Get { &client } else { &server };
    if receiver.outcome() == Some(true) {
        assert!(receiver.content() == sent, "{ends:?} {direction} {length}: wrong content");
    } else if ends != Ends::MinimalServer && direction == Direction::Put {
        assert_eq!(server.content(), b"old", "a failed upload left something");
    }
    if direction == Direction::Put {
        assert!(
            outcomes.0 != Some(true) || outcomes.1 == Some(true),
            "a failed upload was confirmed"
        );
    }
    match outcomes {
        (Some(true), _) => Ending::Confirmed,
        (_, Some(true)) => Ending::Unconfirmed,
        _ => Ending::Failed,
    }
}

const BOTH: [Direction; 2] = [Direction::Get, Direction::Put];

/// For every pattern of losses among the first twelve packets, the transfer succeeds.
fn check_every_loss(cases: &[(Ends, usize)]) {
    for &(ends, length) in cases {
        for direction in BOTH {
            let mut unconfirmed = 0;
            for pattern in 0..1 << 12 {
                let mut network = |number| match number {
                    0..12 if pattern >> number & 1 == 1 => vec![],
                    _ => vec![MS],
                };
                let ending = check(ends, direction, length, &mut network);
                let case = format!("{ends:?} {direction} {length} pattern {pattern:#014b}");
                assert_ne!(ending, Ending::Failed, "{case}");
                unconfirmed += u32::from(ending == Ending::Unconfirmed);
            }
            // This takes the loss of the last ACK and of all its repetitions.
            let count = unconfirmed;
            assert!(count <= 40, "{ends:?} {direction} {length}: {count} unconfirmed");
        }
    }
}

/// T5, T8, T13, T15, T20, T24, T25.
#[test]
fn every_loss_in_lockstep() {
    let plain = Ends::Both(Options::default());
    check_every_loss(&[
        (plain, 0),
        (plain, 1025),
        (Ends::Both(options(8, 1)), 24),
        (Ends::Both(options(1428, 1)), 1429),
    ]);
}

/// T17, T18, T19: windows that are as long as the file, longer and shorter.
#[test]
fn every_loss_in_narrow_windows() {
    check_every_loss(&[(Ends::Both(options(8, 2)), 31), (Ends::Both(options(65464, 2)), 65464)]);
}

/// T17, T18, T19: windows that are longer than the pattern of losses.
#[test]
fn every_loss_in_wide_windows() {
    check_every_loss(&[
        (Ends::Both(options(8, 16)), 40),
        (Ends::Both(options(512, 16)), 16 * 512),
        (Ends::Both(options(8, 64)), 65 * 8 + 1),
    ]);
}

/// T5, T13, T15, T24, T25: with an end that implements RFC 1350 only.
#[test]
fn every_loss_with_a_minimal_end() {
    check_every_loss(&[(Ends::MinimalClient, 1024), (Ends::MinimalServer, 1024)]);
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }
}

/// A network that loses, duplicates, delays and reorders packets, by a seed.
fn unreliable(seed: u64, loss_percent: u64) -> impl FnMut(usize) -> Vec<Duration> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    move |_| {
        let copies = match random.below(100) {
            n if n < loss_percent => 0,
            n if n >= 95 => 2,
            _ => 1,
        };
        (0..copies).map(|_| MS / 2 + MS / 100 * u32::try_from(random.below(100)).unwrap()).collect()
    }
}

/// T17, T18, T19, T20, T21, T22: block sizes and windows, with lengths around multiples of both.
#[test]
fn unreliable_networks() {
    let mut seed = 0;
    for block in [8_u16, 512, 1428, 65464] {
        for window in [1_u16, 2, 16, 64] {
            let (block_bytes, window_bytes) =
                (usize::from(block), usize::from(block) * usize::from(window));
            let lengths = [
                0,
                block_bytes - 1,
                block_bytes,
                window_bytes - 1,
                window_bytes,
                window_bytes + 1,
                3 * window_bytes + 5,
            ];
            for length in lengths {
                for direction in BOTH {
                    seed += 1;
                    let ends = Ends::Both(options(block, window));
                    let ending = check(ends, direction, length, &mut unreliable(seed, 5));
                    assert_eq!(
                        ending,
                        Ending::Confirmed,
                        "{ends:?} {direction} {length} seed {seed}"
                    );
                }
            }
        }
    }
}

/// At high losses, transfers may fail, but the ends do not report success with different content.
#[test]
fn very_unreliable_networks() {
    for seed in 1..=150 {
        for direction in BOTH {
            check(Ends::Both(options(64, 1)), direction, 2000, &mut unreliable(seed, 40));
            check(Ends::Both(options(64, 16)), direction, 2000, &mut unreliable(seed, 60));
            check(Ends::MinimalClient, direction, 2000, &mut unreliable(seed, 30));
            check(Ends::MinimalServer, direction, 2000, &mut unreliable(seed, 30));
        }
    }
}

/// The same with an end that implements RFC 1350 only.
#[test]
fn unreliable_networks_with_a_minimal_end() {
    for (seed, length) in (1..).zip([0, 1, 511, 512, 513, 1024, 5000, 50_000]) {
        for direction in BOTH {
            for ends in [Ends::MinimalClient, Ends::MinimalServer] {
                let ending = check(ends, direction, length, &mut unreliable(seed, 5));
                assert_ne!(ending, Ending::Failed, "{ends:?} {direction} {length} seed {seed}");
            }
        }
    }
}

/// More than 65535 blocks of 8 bytes, or of 512 bytes with an end of RFC 1350 only.
fn check_rollover(ends: Ends, block: usize, loss: u64) {
    for direction in BOTH {
        let ending = check(ends, direction, block * 65_540 + 3, &mut unreliable(7, loss));
        assert_eq!(ending, Ending::Confirmed, "{direction} {ends:?}");
    }
}

/// T14: block numbers roll over in lockstep, with and without losses.
#[test]
fn block_numbers_roll_over_in_lockstep() {
    check_rollover(Ends::Both(options(8, 1)), 8, 0);
    check_rollover(Ends::Both(options(8, 1)), 8, 1);
}

/// T14: and in windows.
#[test]
fn block_numbers_roll_over_in_windows() {
    for window in [2, 16, 64] {
        check_rollover(Ends::Both(options(8, window)), 8, 1);
    }
}

/// T14: and with an end that implements RFC 1350 only.
#[test]
fn block_numbers_roll_over_with_a_minimal_end() {
    check_rollover(Ends::MinimalClient, 512, 0);
    check_rollover(Ends::MinimalServer, 512, 0);
}
