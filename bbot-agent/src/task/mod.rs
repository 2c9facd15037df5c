//! One task, from the controller's answer to its durable result.

mod artifacts;
pub(crate) mod assignment;
mod build;
mod claim;
mod fake;
mod interrupt;
mod outcome;
pub(crate) mod perform;
mod reporter;
mod result_file;
mod task_file;
