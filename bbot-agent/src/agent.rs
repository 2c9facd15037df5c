//! The parts of one instance.

use crate::ask::Controllers;
use crate::backoffs::Backoffs;
use crate::config::Config;
use crate::event_loop::EventLoop;
use crate::machines::view::HostView;
use crate::observe::status::Status;

/// One instance of the agent. The work loop composes its steps from these parts; each step takes
/// those that it uses.
#[derive(Debug)]
pub(crate) struct Agent {
    /// The command line, validated.
    pub(crate) config: Config,
    /// The machines of this host.
    pub(crate) host: HostView,
    /// Everything that can wake the instance, and the results that it posts meanwhile.
    pub(crate) events: EventLoop,
    /// What operators and the service manager see.
    pub(crate) status: Status,
    /// The machines and controllers that failed recently.
    pub(crate) backoffs: Backoffs,
    /// How controllers are reached.
    pub(crate) controllers: Controllers,
}
