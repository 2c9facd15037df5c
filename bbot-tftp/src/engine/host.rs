//! What an engine acts through.

use std::io;

use crate::event::Event;
use crate::protocol::{Datagrams, PortId, Route, Sent, TransferId};
use crate::store::Sink;

/// The sockets, the storage thread and the event handler of an [`Engine`](crate::Engine).
pub trait Host {
    /// Opens a port for the transfer `id`, bound to the local address of `route`, and requests a
    /// receive buffer of `buffer` bytes (0: the system default). Returns the size that the kernel
    /// has granted.
    ///
    /// # Errors
    /// No port or no file descriptor is available.
    fn open_port(&mut self, id: TransferId, route: &Route, buffer: usize) -> io::Result<usize>;

    /// Returns the length of the longest IP packet that is sent to the peer of `route` in one
    /// piece, in bytes, where that is known (T30). By default it is not.
    fn mtu(&mut self, _route: &Route) -> Option<u32> {
        None
    }

    /// Closes the port of the transfer `id`.
    fn close_port(&mut self, id: TransferId);

    /// Sends datagrams from `port` to the peer of `route`.
    fn send(&mut self, port: PortId, route: &Route, datagrams: Datagrams<'_>) -> Sent;

    /// Begins to commit a complete upload ([`Sink::commit`]), on another thread because that may
    /// block. The result is to be passed to
    /// [`Engine::handle_committed`](crate::Engine::handle_committed).
    fn commit(&mut self, id: TransferId, sink: Box<dyn Sink>);

    /// Handles an event.
    fn event(&mut self, event: Event);
}
