//! The protocol: packets, options and the state machines of a transfer's two ends.
//!
//! Nothing here performs I/O, reads a clock or draws random numbers: datagrams and the time are
//! arguments, packets and deadlines are results.

mod block_size;
mod client_transfer;
mod datagram;
mod numbering;
mod options;
mod packet;
mod path;
mod receive;
mod receive_buffer;
mod send;
mod timing;
mod transfer;
mod transfer_id;

pub use block_size::{BlockSize, InvalidBlockSize};
pub use client_transfer::{ClientParameters, ClientStep, ClientTransfer};
pub use datagram::{Arrival, Datagrams, Route, Sent};
pub use numbering::Rollover;
pub use options::{OptionLimits, Options};
pub use packet::{DecodeError, Direction, ErrorCode, MAX_REQUEST, OptionPairs, Packet, Request};
pub use path::RequestPath;
pub use receive::{ReceiveStep, ReceiveTransfer};
pub use send::{SendStep, SendTransfer};
pub use transfer::{Failure, Opening, Parameters, Status};
pub use transfer_id::{PortId, TransferId};

pub(crate) use client_transfer::may_be_requested;
pub(crate) use packet::{HEADER, MAX_DATAGRAM, data_header};
pub(crate) use path::TEMPORARY_PREFIX;
pub(crate) use receive_buffer::datagram_cost;
pub(crate) use timing::MAX_TIME;
pub(crate) use transfer_id::TransferMap;
