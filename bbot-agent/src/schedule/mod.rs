//! Decisions about who is asked, when: functions of plain values.

pub(crate) mod plan;
pub(crate) mod posting;
pub(crate) mod priority;
pub(crate) mod reminder;
pub(crate) mod rest;
