//! Everything that can wake the instance.

use bbot_lock::HostLock;
use bbot_manifest::TaskResponse;

use crate::controller::client::ClientError;
use crate::reports::delivery::Posted;

/// What happened (I3). Requests and guest sessions are identified by numbers.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal arrived: [`Signals`](super::Signals) tells which.
    Signal,
    /// The wait for the host lock is over (W6).
    HostLocked(Result<HostLock, bbot_lock::Error>),
    /// A request for a task was answered, or has failed.
    Answer {
        request: u64,
        result: Box<Result<TaskResponse, ClientError>>,
    },
    /// The TFTP server of a guest session reports something.
    Tftp {
        session: u64,
        event: bbot_tftp::Event,
    },
    /// The guest of a session reports something.
    Guest {
        session: u64,
        event: bbot_vm::GuestEvent,
    },
    /// The TFTP server of a session has no transfer left.
    Drained {
        session: u64,
    },
    /// Something that guests depend on may have changed on the host (W70).
    HostChanged,
    /// The lock of an instance that was interrupted may have changed (W35).
    LocksChanged,
    /// A file appeared in the folder where the result of a fake machine is expected.
    FileAppeared,
    Posted(Posted),
}
