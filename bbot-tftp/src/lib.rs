#![doc = include_str!("../README.md")]
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
    DirStore, Namespace, ReadRequest, Sink, Source, Store, StoreError, WriteLimits, WritePolicy,
    WriteRequest,
};
