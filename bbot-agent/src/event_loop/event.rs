//! Everything that can wake the instance.

use bbot_lock::HostLock;
use bbot_manifest::TaskResponse;

use crate::controller::client::ClientError;
use crate::reports::delivery::Posted;

/// What happened. A closed set: the loop handles all of it (I3).
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal arrived: [`Signals`](super::Signals) tells which.
    Signal,
    /// The wait for the host lock is over (W6).
    HostLocked(Result<HostLock, bbot_lock::Error>),
    /// A controller answered a request for a task, or failed to.
    Answer {
        /// The number of the request.
        request: u64,
        /// The answer.
        result: Box<Result<TaskResponse, ClientError>>,
    },
    /// The TFTP server of a guest session reports something.
    Tftp {
        /// The number of the session.
        session: u64,
        /// What it reports.
        event: bbot_tftp::Event,
    },
    /// The guest of a session reports something.
    Guest {
        /// The number of the session.
        session: u64,
        /// What it reports.
        event: bbot_vm::GuestEvent,
    },
    /// The TFTP server of a session has no transfer left.
    Drained {
        /// The number of the session.
        session: u64,
    },
    /// The lock of an instance that was interrupted may have changed (W35).
    LocksChanged,
    /// A file appeared in the folder where the result of a fake machine is expected.
    FileAppeared,
    /// An attempt to deliver an outbox entry ended.
    Posted(Posted),
}
