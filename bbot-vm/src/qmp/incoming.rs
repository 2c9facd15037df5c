//! What the receiving side of a connection passes on to the side that sends commands.

use serde_json::Value;

use super::error::QmpError;
use super::message::Refusal;

/// How many answers may wait for the client. There is one command under way at a time, so a second
/// answer is late already; more come only from a QEMU under the control of its guest.
pub(super) const INCOMING_MAX: usize = 16;

/// What the receiving side passes on.
#[derive(Debug)]
pub(super) enum Incoming {
    Greeting,
    Answer {
        id: Option<u64>,
        answer: Result<Value, Refusal>,
    },
    /// Nothing more will come.
    End(QmpError),
}
