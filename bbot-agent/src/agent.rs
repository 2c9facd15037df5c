//! The parts of one instance.

use std::path::PathBuf;

use crate::ask::Controllers;
use crate::config::Config;
use crate::event_loop::EventLoop;
use crate::host::monitor::Monitor;
use crate::machines::view::HostView;
use crate::observe::status::Status;
use crate::schedule::backoff::Backoff;
use crate::task::unstored::Unstored;

/// What this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The instance: nothing else bears its name.
    Instance,
    /// A process that prints the machines while another one is the instance: it changes nothing
    /// (W47).
    Onlooker,
    /// A process that fakes what an instance does, without guests (W42, W46).
    Fake,
}

/// One instance of the agent. The work loop composes its steps from these parts; each step takes
/// those that it uses.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) host: HostView,
    /// Everything that can wake the instance, and the results that it posts meanwhile.
    pub(crate) events: EventLoop,
    pub(crate) status: Status,
    /// Whether this host can run guests.
    pub(crate) monitor: Monitor,
    /// By the machine's folder: machines of two volumes may have one name.
    pub(crate) machine_backoff: Backoff<PathBuf>,
    /// By URL.
    pub(crate) controller_backoff: Backoff<String>,
    pub(crate) controllers: Controllers,
    /// The answers that cannot be made durable for now.
    pub(crate) unstored: Vec<Unstored>,
}
