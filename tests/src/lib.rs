//! The farm for demo and tests: a scratch build host with a real btrfs volume, a real network
//! and a controller, in namespaces of its own, gone without a trace when it is dropped.
//!
//! * [`farm`]: the host: scratch folder, volume, namespaces, machines.
//! * [`programs`]: where the workspace's own programs lie.

pub mod clock;
pub mod farm;
pub mod programs;
