//! The machine protocol: lines of JSON over a socket pair.
//!
//! The commands and their answers are those of the crate `qapi`. The transport is ours, because
//! QEMU speaks out of turn (events between a command and its answer), and says things that are
//! newer than any list of them (events and values without a name in `qapi`).

mod client;
mod line;
mod message;

pub use client::QmpError;
pub(crate) use client::{Client, Reader, Received, pair};
