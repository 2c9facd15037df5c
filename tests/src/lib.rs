//! The farm for demo and tests: a scratch build host with a real btrfs volume, a real network
//! and a controller, in namespaces of its own, gone without a trace when it is dropped.
//!
//! * [`farm`]: the host: scratch folder, volume, namespaces, machines.
//! * [`controller`]: who hands out tasks and takes results.
//! * [`agent`]: the real agent, run in a farm.
//! * [`demo`]: everything together, once, for people.
//! * [`mod@smoke`]: what only the real guest can show.
//! * [`pretend`]: a hypervisor that plays a scripted guest.
//! * [`operator`]: who looks at a guest through its monitor.
//! * [`scene`]: farm, machine, controller and a quick guest, for tests of the agent.
//! * [`crash`]: the agent is killed again and again, and judged by what it has kept.
//! * [`station`]: a guest with a kernel, for real programs.
//! * [`mod@bench`]: what the agent costs.
//! * [`programs`]: where the workspace's own programs lie.

#![deny(unsafe_code)]

pub mod agent;
pub mod bench;
pub mod clock;
pub mod controller;
pub mod crash;
pub mod demo;
pub mod farm;
pub mod growing;
pub mod operator;
pub mod pretend;
pub mod programs;
pub mod scene;
pub mod smoke;
pub mod station;
