//! A whole server without sockets, clock and threads.

mod admission;
mod dispatch;
mod error_budget;
mod host;
mod send_buffer;
mod session;
mod session_table;

pub use admission::Resources;
pub use dispatch::Engine;
pub use host::Host;

pub(crate) use send_buffer::SendBuffer;
