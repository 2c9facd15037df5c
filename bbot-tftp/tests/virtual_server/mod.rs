//! A server in virtual time: its packets, its files and its events are plain values.

#![allow(dead_code, reason = "each test uses a part of this")]

pub(crate) mod packets;

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bbot_tftp::{
    Arrival, Datagrams, Engine, Event, Host, PortId, ReadRequest, Resources, Route, Sent,
    ServerConfig, Sink, Source, Store, StoreError, TransferId, WriteRequest,
};

/// Files in memory, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStore(
    pub(crate) Arc<Mutex<HashMap<String, Vec<u8>>>>,
    Arc<Mutex<Vec<SocketAddr>>>,
);

impl MemoryStore {
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        self.0.lock().unwrap().insert(name.to_owned(), content.to_vec());
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(name).cloned()
    }

    /// The clients of all requests so far.
    pub(crate) fn requests(&self) -> Vec<SocketAddr> {
        self.1.lock().unwrap().clone()
    }
}

/// The maximum size of an upload, in bytes.
pub(crate) const MAX_UPLOAD: usize = 40 << 20;

impl Store for MemoryStore {
    fn open(&self, request: &ReadRequest<'_>) -> Result<Box<dyn Source>, StoreError> {
        self.1.lock().unwrap().push(request.peer);
        let content = self.get(request.path.as_str()).ok_or(StoreError::NotFound)?;
        Ok(Box::new(content))
    }

    fn create(&self, request: &WriteRequest<'_>) -> Result<Box<dyn Sink>, StoreError> {
        self.1.lock().unwrap().push(request.peer);
        if request.path.as_str() == "denied" {
            return Err(StoreError::Denied);
        }
        if request.declared_size.is_some_and(|size| size > MAX_UPLOAD as u64) {
            return Err(StoreError::Full);
        }
        let (store, name) = (self.clone(), request.path.as_str().to_owned());
        Ok(Box::new(Upload { store, name, content: Vec::new() }))
    }
}

struct Upload {
    store: MemoryStore,
    name: String,
    content: Vec<u8>,
}

impl Sink for Upload {
    fn write_at(&mut self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<(), StoreError> {
        assert_eq!(offset, self.content.len() as u64, "written in order, once");
        for buffer in buffers {
            self.content.extend_from_slice(buffer);
        }
        if self.content.len() > MAX_UPLOAD { Err(StoreError::Full) } else { Ok(()) }
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.name == "fails" {
            return Err(StoreError::Io(io::ErrorKind::Other.into()));
        }
        self.store.put(&self.name, &self.content);
        Ok(())
    }
}

/// A packet that the server has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentPacket {
    pub(crate) port: PortId,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// Records what the engine does.
#[derive(Debug, Default)]
pub(crate) struct RecordingHost {
    pub(crate) packets: Vec<SentPacket>,
    pub(crate) events: Vec<Event>,
    pub(crate) commits: Vec<Commit>,
    pub(crate) ports: HashSet<PortId>,
    /// The size of each port's receive buffer.
    pub(crate) receive_buffer: usize,
    /// The number of packets until the send buffer is full once.
    pub(crate) congested_after: Option<usize>,
}

/// An upload that waits for its commit.
pub(crate) struct Commit {
    pub(crate) id: TransferId,
    pub(crate) sink: Box<dyn Sink>,
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Host for RecordingHost {
    fn open_port(&mut self, id: TransferId, _: &Route, _: usize) -> io::Result<usize> {
        assert!(self.ports.insert(PortId::Transfer(id)), "opened once");
        Ok(self.receive_buffer)
    }

    fn close_port(&mut self, id: TransferId) {
        assert!(self.ports.remove(&PortId::Transfer(id)), "closed once");
    }

    fn send(&mut self, port: PortId, route: &Route, datagrams: Datagrams<'_>) -> Sent {
        assert!(port == PortId::Listener || self.ports.contains(&port), "sent from a closed port");
        for (count, bytes) in datagrams.iter().enumerate() {
            if self.congested_after.take_if(|left| *left == 0).is_some() {
                return Sent::First(count);
            }
            self.congested_after = self.congested_after.map(|left| left - 1);
            self.packets.push(SentPacket { port, to: route.peer, bytes: bytes.to_vec() });
        }
        Sent::All
    }

    fn commit(&mut self, id: TransferId, sink: Box<dyn Sink>) {
        self.commits.push(Commit { id, sink });
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// The port of the `number`-th transfer of a server.
pub(crate) fn port_of(number: u64) -> PortId {
    PortId::Transfer(NonZeroU64::new(number).unwrap().into())
}

/// A server with its clock.
#[derive(Debug)]
pub(crate) struct VirtualServer {
    pub(crate) engine: Engine,
    pub(crate) host: RecordingHost,
    pub(crate) store: MemoryStore,
    pub(crate) now: Instant,
    pub(crate) start: Instant,
}

impl VirtualServer {
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self::with_resources(config, Resources::default().with_max_sessions(4096))
    }

    pub(crate) fn with_resources(config: ServerConfig, resources: Resources) -> Self {
        let (now, store) = (Instant::now(), MemoryStore::default());
        let receive_buffer = 1 << 20;
        let resources = resources.with_listener_buffer(receive_buffer);
        Self {
            engine: Engine::new(config, Box::new(store.clone()), resources, now),
            host: RecordingHost { receive_buffer, ..RecordingHost::default() },
            store,
            now,
            start: now,
        }
    }

    /// A datagram arrives.
    pub(crate) fn receive(&mut self, from: SocketAddr, port: PortId, bytes: &[u8]) {
        let route = match port {
            PortId::Listener => Route::new(from).with_local([192, 0, 2, 1].into()),
            PortId::Transfer(_) => Route::new(from),
        };
        let arrival = Arrival::new(port, route, Datagrams::one(bytes));
        self.engine.handle_arrivals(&[arrival], self.now, &mut self.host);
    }

    /// All uploads that wait for their commit are committed.
    pub(crate) fn commit(&mut self) {
        for Commit { id, sink } in std::mem::take(&mut self.host.commits) {
            let result = sink.commit();
            self.engine.handle_committed(id, result, self.now, &mut self.host);
        }
    }

    /// Takes the packets that the server has sent.
    pub(crate) fn sent(&mut self) -> Vec<SentPacket> {
        std::mem::take(&mut self.host.packets)
    }

    /// Lets time pass; deadlines are handled when they are reached.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now, &mut self.host);
        }
        self.now = until;
    }
}
