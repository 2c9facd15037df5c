//! A server in virtual time: its packets, files and events are plain values.

#![allow(dead_code)] // Each test uses its own part of this.

pub(crate) mod packets;

use std::collections::{HashMap, HashSet};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bbot_tftp::{
    Arrival, Engine, Event, Host, LISTENER, RequestPath, Route, Sent, ServerConfig, Sink, Source,
    Store, StoreError,
};

/// Files in memory, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(pub(crate) Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Files {
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        self.0.lock().unwrap().insert(name.to_owned(), content.to_vec());
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(name).cloned()
    }
}

/// The most that an upload in memory may hold.
pub(crate) const ROOM: usize = 40 << 20;

impl Store for Files {
    fn open(&self, path: &RequestPath) -> Result<Box<dyn Source>, StoreError> {
        let content = self.get(path.as_str()).ok_or(StoreError::NotFound)?;
        Ok(Box::new(content))
    }

    fn create(
        &self,
        path: &RequestPath,
        declared: Option<u64>,
    ) -> Result<Box<dyn Sink>, StoreError> {
        if path.as_str() == "denied" {
            return Err(StoreError::Denied);
        }
        if declared.is_some_and(|size| size > ROOM as u64) {
            return Err(StoreError::Full);
        }
        let (files, name) = (self.clone(), path.as_str().to_owned());
        Ok(Box::new(Upload { files, name, content: Vec::new() }))
    }
}

struct Upload {
    files: Files,
    name: String,
    content: Vec<u8>,
}

impl Sink for Upload {
    fn write_at(&mut self, buffers: &mut [IoSlice<'_>], offset: u64) -> Result<(), StoreError> {
        assert_eq!(offset, self.content.len() as u64, "written in order, once");
        for buffer in buffers {
            self.content.extend_from_slice(buffer);
        }
        if self.content.len() > ROOM { Err(StoreError::Full) } else { Ok(()) }
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.name == "fails" {
            return Err(StoreError::Io(io::ErrorKind::Other.into()));
        }
        self.files.put(&self.name, &self.content);
        Ok(())
    }
}

/// A packet of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) port: u64,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What the engine did.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) packets: Vec<Packet>,
    pub(crate) events: Vec<Event>,
    pub(crate) commits: Vec<(u64, Box<dyn Sink>)>,
    pub(crate) ports: HashSet<u64>,
    /// The receive buffer of each port.
    pub(crate) room: usize,
    /// Packets that the network takes before it is full; then it is empty again.
    pub(crate) congested_after: Option<usize>,
}

impl Host for Recorder {
    fn open_port(&mut self, id: u64, _: &Route, _: usize) -> io::Result<usize> {
        assert!(self.ports.insert(id), "opened once");
        Ok(self.room)
    }

    fn close_port(&mut self, id: u64) {
        assert!(self.ports.remove(&id), "closed once");
    }

    fn send(&mut self, id: u64, route: &Route, datagrams: &[u8], segment: usize) -> Sent {
        let port = if self.ports.contains(&id) { id } else { LISTENER };
        for (count, bytes) in datagrams.chunks(segment).enumerate() {
            if self.congested_after.take_if(|left| *left == 0).is_some() {
                return Sent::Some(count);
            }
            self.congested_after = self.congested_after.map(|left| left - 1);
            self.packets.push(Packet { port, to: route.peer, bytes: bytes.to_vec() });
        }
        Sent::All
    }

    fn commit(&mut self, id: u64, sink: Box<dyn Sink>) {
        self.commits.push((id, sink));
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// A server with its clock.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) host: Recorder,
    pub(crate) files: Files,
    pub(crate) now: Instant,
    pub(crate) start: Instant,
}

impl World {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let (now, files) = (Instant::now(), Files::default());
        let room = 1 << 20;
        Self {
            engine: Engine::new(config, Box::new(files.clone()), room, 4096, now),
            host: Recorder { room, ..Recorder::default() },
            files,
            now,
            start: now,
        }
    }

    /// A datagram arrives.
    pub(crate) fn receive(&mut self, from: SocketAddr, port: u64, bytes: &[u8]) {
        let local = Some([192, 0, 2, 1].into()).filter(|_| port == LISTENER);
        let route = Route { peer: from, local };
        let arrival = Arrival { port, route, bytes, segment: bytes.len() };
        self.engine.handle_arrivals(&[arrival], self.now, &mut self.host);
    }

    /// All uploads that wait for the disk become durable.
    pub(crate) fn commit(&mut self) {
        for (id, sink) in std::mem::take(&mut self.host.commits) {
            let result = sink.commit();
            self.engine.handle_committed(id, result, self.now, &mut self.host);
        }
    }

    /// Takes what the server has sent.
    pub(crate) fn sent(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.host.packets)
    }

    /// Lets time pass, with all deadlines on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now, &mut self.host);
        }
        self.now = until;
    }
}
