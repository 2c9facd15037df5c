//! The farm for the demo, the system tests and the agent's bench: a scratch build host with a real
//! btrfs volume, a real network and a controller, in namespaces of its own, of which nothing is
//! left when it is dropped.
//!
//! * [`harness`]: the farm, and everything that takes part in a test beside the agent under test.
//! * [`campaign`]: kills the agent again and again, and checks what it has kept.
//! * [`demo`]: the whole system once, with the real hypervisor and the real guest; smoke tests.
//! * [`mod@bench`]: what the agent costs.
//!
//! The last three use the first, and do not use each other.

#![deny(unsafe_code)]

pub mod bench;
pub mod campaign;
pub mod demo;
pub mod harness;
