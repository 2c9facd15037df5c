#![doc = include_str!("../README.md")]
//!
//! ## The rules
//!
//! The page of rules is the module [`rules`].
#![forbid(unsafe_code)]

mod client;
mod config;
mod engine;
mod error;
mod event;
mod net;
mod protocol;
mod server;
mod store;

#[doc = include_str!("../docs/rules.md")]
pub mod rules {}

pub use client::{Client, Progress, TransferSummary};
pub use config::{Limits, Offload, ServerConfig};
pub use engine::{Engine, Host, Resources};
pub use error::{ClientError, Operation, ServerError};
pub use event::Event;
pub use protocol::{
    Arrival, BlockSize, ClientParameters, ClientStep, ClientTransfer, Datagrams, DecodeError,
    Direction, ErrorCode, Failure, InvalidBlockSize, MAX_REQUEST, Opening, OptionLimits,
    OptionPairs, Options, Packet, Parameters, PortId, ReceiveStep, ReceiveTransfer, Request,
    RequestPath, Rollover, Route, SendStep, SendTransfer, Sent, Status, TransferId,
};
pub use server::{Server, ServerHandle};
pub use store::{
    AtomicFile, DirStore, Namespace, ReadRequest, Sink, Source, Store, StoreError, WriteLimits,
    WritePolicy, WriteRequest,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>() {}
    fn is_send_and_sync<T: Send + Sync>() {}

    /// A front end may move all types to other threads, and share those without a store or a file.
    #[test]
    fn types_may_be_sent_to_other_threads() {
        is_send::<Server>();
        is_send::<Engine>();
        is_send::<Box<dyn Store>>();
        is_send::<Box<dyn Source>>();
        is_send::<Box<dyn Sink>>();
        is_send_and_sync::<ServerHandle>();
        is_send_and_sync::<AtomicFile>();
        is_send_and_sync::<DirStore>();
        is_send_and_sync::<Client>();
        is_send_and_sync::<ClientTransfer>();
        is_send_and_sync::<SendTransfer>();
        is_send_and_sync::<ReceiveTransfer>();
        is_send_and_sync::<ServerError>();
        is_send_and_sync::<ClientError>();
        is_send_and_sync::<StoreError>();
        is_send_and_sync::<Event>();
    }
}
