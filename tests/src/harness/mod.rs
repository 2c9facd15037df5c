//! What every test needs: a build host, controllers, agents, guests and operators.
//!
//! * [`farm`]: the host: scratch folder, volume, namespaces, machines.
//! * [`controller`]: assigns tasks and stores results, or fails on purpose.
//! * [`agent`]: the real agent, run in a farm.
//! * [`hypervisor`]: a simulated hypervisor whose guest follows a script.
//! * [`namespace_guest`]: a guest whose network stack is the kernel's, for real TFTP clients.
//! * [`operator`]: a person who inspects a guest through its monitor.
//! * [`testbed`]: a farm with a machine, a controller and a quick guest, for tests of the agent.
//! * [`event_log`]: a list that grows and can be waited for.
//! * [`watch`]: files that can be waited for.
//! * [`pidfd`]: processes that can be waited for.
//! * [`clock`]: the monotonic clock.
//! * [`limits`]: how long tests wait.
//! * [`programs`]: where the workspace's own programs lie.

pub mod agent;
pub mod clock;
pub mod controller;
pub mod event_log;
pub mod farm;
pub mod hypervisor;
pub mod limits;
pub mod namespace_guest;
pub mod operator;
pub mod pidfd;
pub mod programs;
pub mod testbed;
pub mod watch;
