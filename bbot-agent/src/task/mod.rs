//! One task, from the controller's answer to its durable result.

mod artifacts;
mod claim;
mod fake;
mod interrupt;
pub(crate) mod outcome;
pub(crate) mod perform;
pub(crate) mod result_file;
