//! The real agent, run in a farm.

mod builds;
mod phase;
mod process;
mod spec;

pub use builds::{BuildTimes, ROWS, build_times};
pub use phase::Phase;
pub use process::Agent;
pub use spec::AgentSpec;
