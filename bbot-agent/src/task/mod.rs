//! One task, from the controller's answer to its durable result.

mod artifacts;
pub(crate) mod assignment;
mod claim;
mod fake;
mod interrupt;
mod outcome;
pub(crate) mod perform;
pub(crate) mod reporter;
mod result_file;
mod task_file;
pub(crate) mod unstored;
