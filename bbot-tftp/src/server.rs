//! A server on threads of its own: an [`Engine`](crate::Engine) with sockets and storage.

mod command;
mod event_loop;
mod ports;

use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use command::{Command, Waker};
use event_loop::EventLoop;

use crate::config::ServerConfig;
use crate::error::{Operation, ServerError};
use crate::event::Event;
use crate::net::Port;
use crate::store::{DirStore, Namespace, Store};

/// A server that is bound to its address, but does not answer yet.
pub struct Server {
    listener: Port,
    address: SocketAddr,
    store: Box<dyn Store>,
    config: ServerConfig,
}

impl Server {
    /// Binds a server that serves the folders of `namespace`. Port 0 means any free port.
    ///
    /// # Errors
    /// The address cannot be bound, or a folder cannot be opened.
    pub fn bind(
        address: SocketAddr,
        namespace: Namespace,
        config: ServerConfig,
    ) -> Result<Self, ServerError> {
        Self::with_store(address, DirStore::new(namespace)?, config)
    }

    /// Binds a server that serves the files of `store`. Port 0 means any free port.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn with_store(
        address: SocketAddr,
        store: impl Store + 'static,
        config: ServerConfig,
    ) -> Result<Self, ServerError> {
        let bind_error = |source| ServerError::new(Operation::Bind(address), source);
        let mut listener = Port::listener(address, config.offload).map_err(bind_error)?;
        if config.single_port {
            listener.expect_windows();
        }
        let address = listener.local_addr().map_err(bind_error)?;
        Ok(Self { listener, address, store: Box::new(store), config })
    }

    /// The address that the server is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves, on a thread of its own, until the handle is stopped or dropped.
    ///
    /// `events` is called on that thread, which answers no packets meanwhile.
    ///
    /// # Errors
    /// There are no threads or descriptors left.
    pub fn spawn(
        self,
        events: impl FnMut(Event) + Send + 'static,
    ) -> Result<ServerHandle, ServerError> {
        let Self { listener, address, store, config } = self;
        let (commands, received) = channel();
        let waker = Waker::new(commands)
            .map_err(|errno| ServerError::new(Operation::EventLoop, errno.into()))?;
        let event_loop = EventLoop::new(listener, store, config, events, received, &waker)?;
        let thread = std::thread::Builder::new()
            .name(format!("tftp-{}", address.port()))
            .spawn(move || event_loop.run())
            .map_err(|source| ServerError::new(Operation::StartThread, source))?;
        Ok(ServerHandle { address, waker, thread: Some(thread) })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A server that answers requests. It stops when it is dropped.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// The address that the server is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends all transfers, tells their clients (ERROR 0), and waits for the server's threads (T34).
    pub fn stop(mut self) {
        self.end(Command::Stop);
    }

    /// Lets the downloads finish that are in progress and the uploads whose data has been received,
    /// but not for longer than `limit`; ends all other transfers, and waits for the server's
    /// threads (T34).
    pub fn drain(mut self, limit: Duration) {
        self.end(Command::Drain(limit));
    }

    /// Lets the uploads finish whose data has been received, but not for longer than `limit`; ends
    /// all other transfers, and waits for the server's threads (T34).
    pub fn finish_uploads(mut self, limit: Duration) {
        self.end(Command::FinishUploads(limit));
    }

    fn end(&mut self, command: Command) {
        if let Some(thread) = self.thread.take() {
            self.waker.send(command);
            // A panic of the event handler was reported when it occurred.
            drop(thread.join());
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.end(Command::Stop);
    }
}
