//! One task, from the controller's answer to its durable result.

mod artifacts;
mod claim;
mod failure;
mod fake;
pub(crate) mod guest;
pub(crate) mod hold;
pub(crate) mod outcome;
pub(crate) mod perform;
pub(crate) mod result_file;
mod room;
pub(crate) mod run;
