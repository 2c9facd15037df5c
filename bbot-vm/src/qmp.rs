//! The machine protocol (QMP): lines of JSON over a socket pair.
//!
//! The commands and the types of their answers are those of the crate `qapi`. The transport is
//! ours, because QEMU sends events between a command and its answer, and events and values that
//! are newer than any list of them; `qapi` would end the connection at those.

mod client;
mod connection;
mod error;
mod incoming;
mod line;
mod message;
mod reader;

pub(crate) use client::Client;
pub(crate) use connection::pair;
pub use error::QmpError;
pub(crate) use message::Event;
pub(crate) use reader::{Reader, Received};

#[cfg(test)]
mod tests;
