//! Decisions about requests and interrupts: which controllers are sent a request, when, and which
//! tasks are interrupted. Pure.

pub(crate) mod backoff;
pub(crate) mod host;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod priority;
pub(crate) mod reminder;
pub(crate) mod victims;

#[cfg(test)]
mod properties;
