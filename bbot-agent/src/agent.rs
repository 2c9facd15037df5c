//! The parts of one instance.

use bbot_manifest::MachineName;

use crate::ask::Controllers;
use crate::config::Config;
use crate::event_loop::EventLoop;
use crate::host::monitor::Monitor;
use crate::machines::view::HostView;
use crate::observe::status::Status;
use crate::schedule::backoff::Backoff;
use crate::task::unstored::Unstored;

/// One instance of the agent. The work loop composes its steps from these parts; each step takes
/// those that it uses.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) config: Config,
    pub(crate) host: HostView,
    /// Everything that can wake the instance, and the results that it posts meanwhile.
    pub(crate) events: EventLoop,
    pub(crate) status: Status,
    /// Whether this host can run guests.
    pub(crate) monitor: Monitor,
    pub(crate) machine_backoff: Backoff<MachineName>,
    /// By URL.
    pub(crate) controller_backoff: Backoff<String>,
    pub(crate) controllers: Controllers,
    /// The answers that cannot be made durable for now.
    pub(crate) unstored: Vec<Unstored>,
}
