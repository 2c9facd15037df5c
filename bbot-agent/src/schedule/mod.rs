//! Decisions about who is asked, when, and who must make room: functions of plain values.

pub(crate) mod backoff;
pub(crate) mod host;
pub(crate) mod plan;
pub(crate) mod priority;
pub(crate) mod reminder;
pub(crate) mod victims;

#[cfg(test)]
mod laws;
