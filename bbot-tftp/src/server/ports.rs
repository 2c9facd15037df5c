//! The sockets of a server, and what else its engine acts through.

use std::io;
use std::net::SocketAddr;

use crate::config::ServerConfig;
use crate::engine::Host;
use crate::event::Event;
use crate::net::{Mtus, Port, Report, Token, Watch};
use crate::protocol::{Datagrams, PortId, Route, Sent, TransferId, TransferMap};
use crate::store::{Sink, StorageThread};

/// The [`Host`] of a server's engine: a socket for each transfer, or one for all of them (T1).
pub(super) struct Ports<F> {
    pub(super) listener: Port,
    pub(super) transfers: TransferMap<Port>,
    /// The second sockets at the addresses of those ports that are connected.
    catch_alls: TransferMap<Port>,
    pub(super) watch: Watch,
    pub(super) config: ServerConfig,
    pub(super) storage: StorageThread,
    events: F,
    /// Peers whose ports are closed, and the port that has received the report.
    pub(super) unreachable: Vec<(PortId, SocketAddr)>,
    mtus: Mtus,
}

impl<F> Ports<F> {
    pub(super) fn new(
        listener: Port,
        watch: Watch,
        config: ServerConfig,
        storage: StorageThread,
        events: F,
    ) -> Self {
        Self {
            listener,
            transfers: TransferMap::default(),
            catch_alls: TransferMap::default(),
            watch,
            config,
            storage,
            events,
            unreachable: Vec::new(),
            mtus: Mtus::default(),
        }
    }

    /// The socket of a token.
    pub(super) fn socket(&self, token: Token) -> Option<&Port> {
        match token {
            Token::Port(PortId::Listener) => Some(&self.listener),
            Token::Port(PortId::Transfer(id)) => self.transfers.get(&id),
            Token::CatchAll(id) => self.catch_alls.get(&id),
            Token::Wake => None,
        }
    }

    /// Reads the error queue of a socket.
    pub(super) fn collect_errors(&mut self, token: Token) {
        let Some(port) = token.port() else { return };
        while let Some(report) = self.socket(token).and_then(Port::next_error) {
            if let Report::ClosedPort(peer) = report {
                self.unreachable.push((port, peer));
            }
        }
    }

    /// Connects a port to its client, so that the rest of the transfer costs less. The packets of
    /// other senders are received by a second socket, and answered (T2).
    fn connect(&mut self, id: TransferId) -> io::Result<()> {
        if let Some(port) = self.transfers.get_mut(&id) {
            let catch_all = port.share_address()?;
            self.watch.add(&catch_all, Token::CatchAll(id))?;
            port.connect()?;
            self.catch_alls.insert(id, catch_all);
        }
        Ok(())
    }
}

impl<F: FnMut(Event)> Host for Ports<F> {
    /// Binds the port to the address that the request was sent to (T3).
    fn open_port(&mut self, id: TransferId, route: &Route, buffer: usize) -> io::Result<usize> {
        let port = Port::bind(route.local_address(), self.config.offload)?;
        let mut port = port.with_client(route.peer);
        let granted = port.request_receive_buffer(buffer);
        if buffer > 0 {
            port.expect_windows();
        }
        self.watch.add(&port, Token::Port(PortId::Transfer(id)))?;
        self.transfers.insert(id, port);
        Ok(granted)
    }

    fn close_port(&mut self, id: TransferId) {
        self.transfers.remove(&id);
        self.catch_alls.remove(&id);
    }

    fn mtu(&mut self, route: &Route) -> Option<u32> {
        self.mtus.of(route)
    }

    fn send(&mut self, port: PortId, route: &Route, datagrams: Datagrams<'_>) -> Sent {
        let PortId::Transfer(id) = port else { return self.listener.send(route, datagrams) };
        let Some(port) = self.transfers.get_mut(&id) else {
            // The engine opens a port before it sends from it.
            return Sent::All;
        };
        let sent = port.send(route, datagrams);
        if port.is_worth_connecting() {
            // Where this fails, the transfer goes on as before.
            drop(self.connect(id));
        }
        sent
    }

    fn commit(&mut self, id: TransferId, sink: Box<dyn Sink>) {
        self.storage.commit(id, sink);
    }

    fn event(&mut self, event: Event) {
        (self.events)(event);
    }
}
