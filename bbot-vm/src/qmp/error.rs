//! Why a command of the machine protocol failed.

use std::io;
use std::time::Duration;

use super::message::Refusal;

/// Why a command of the machine protocol (QMP) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QmpError {
    /// The connection was closed, usually because the hypervisor's process has ended.
    #[error("the monitor connection was closed")]
    Closed,
    /// The answer did not come in time.
    #[error("no answer within {limit:?}")]
    Timeout {
        /// How long it was waited for.
        limit: Duration,
    },
    /// QEMU refused the command.
    #[error("{description} ({class})")]
    Refused {
        /// The class of the error, such as `GenericError`.
        class: String,
        /// QEMU's description of it.
        description: String,
    },
    /// QEMU sent a line that is not a message of the protocol.
    #[error("unexpected line {line:?}")]
    Malformed {
        /// The first 80 characters of it.
        line: String,
    },
    /// QEMU sent a line that is too long.
    #[error("a line has more than {limit} bytes")]
    LineTooLong {
        /// The longest length that is accepted, in bytes.
        limit: usize,
    },
    /// The connection failed.
    #[error("the monitor connection failed")]
    Io(#[source] io::Error),
}

impl QmpError {
    pub(super) fn malformed(line: &[u8]) -> QmpError {
        QmpError::Malformed { line: String::from_utf8_lossy(line).chars().take(80).collect() }
    }
}

impl From<Refusal> for QmpError {
    fn from(refusal: Refusal) -> QmpError {
        QmpError::Refused { class: refusal.class, description: refusal.description }
    }
}
