#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod client;
mod client_transfer;
mod config;
mod descriptors;
mod directory;
mod engine;
mod error;
mod event;
mod fill;
mod ids;
mod numbering;
mod open_file;
mod options;
mod packet;
mod path;
mod quota;
mod receive;
mod send;
mod server;
mod session;
mod storage_thread;
mod store;
mod timing;
mod transfer;
mod udp;
mod watch;

pub use client::{Client, ClientError, Transferred};
pub use client_transfer::{ClientStep, ClientTransfer};
pub use config::{Limits, Offload, Route, ServerConfig};
pub use directory::{DirStore, Namespace, WritePolicy};
pub use engine::{Arrival, Engine, Host, LISTENER, Sent};
pub use error::{Operation, ServerError};
pub use event::Event;
pub use numbering::Rollover;
pub use options::{DEFAULT_BLOCK_SIZE, Grant, MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, Options};
pub use packet::{DecodeError, Direction, ErrorCode, MAX_REQUEST, OptionPairs, Packet, Request};
pub use path::RequestPath;
pub use quota::WriteLimits;
pub use receive::{ReceiveStep, ReceiveTransfer};
pub use send::{SendStep, SendTransfer};
pub use server::{Server, ServerHandle};
pub use store::{Sink, Source, Store, StoreError};
pub use transfer::{Failure, Opening, Parameters, Status};
