//! The system tests: one module for each subject.
//!
//! They are one program, as each further one would link everything once more. `cargo nextest` runs
//! each test in a process of its own, `cargo test` all of them in threads of one process: no test
//! changes its environment, working folder or signal handlers, and each has its own farm.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

mod agent;
mod artifacts;
mod controller;
mod controller_faults;
mod crash;
mod demo;
mod durability;
mod fake_modes;
mod farm;
mod full_disk;
mod guest_network;
mod guests;
mod hold;
mod host;
mod machines;
mod outbox;
mod ownership;
mod priorities;
mod recovery;
mod smoke;
mod status;
mod stop;
