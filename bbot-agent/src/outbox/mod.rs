//! Results on disk until their controller has them (design.md, rule 5).
//!
//! Below the state directory:
//!
//! | path | what it is |
//! |---|---|
//! | `outbox/<id>.manifest` | a result that waits; ids sort by age |
//! | `outbox/<id>.artifacts/<n>.tar` | what its controller is to get before it (W33) |
//! | `task-at-hand.manifest` | the answer to the task at hand should this process die (W41) |
//! | `dead-letters/<id>.manifest`, `.reason` | what no controller takes, and why |
//!
//! A dead letter that is moved back to the outbox is posted again.
//!
//! Each file appears whole: it is written beside, synchronised, and renamed. Only the process that
//! holds the instance lock writes here.

mod artifacts;
mod entry;
mod store;
mod summary;

pub(crate) use entry::{Artifact, Entry};
pub(crate) use store::{EntryId, Outbox, OutboxError};
pub(crate) use summary::{Summary, summary};
