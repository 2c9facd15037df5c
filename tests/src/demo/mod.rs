//! The whole system with the real hypervisor and the real guest: shown once, and smoke tests.

mod artifact;
mod display;
mod real_machine;
mod report;
mod show;
pub mod smoke;

pub use show::{DemoOptions, show};
