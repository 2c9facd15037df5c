//! Results on disk until they are delivered (I5).
//!
//! Below the state directory:
//!
//! | path | content |
//! |---|---|
//! | `outbox/<id>.manifest` | a result that waits for delivery; ids sort by age |
//! | `outbox/<id>.artifacts/<n>.tar` | the artifacts that are posted before it (W33) |
//! | `task-at-hand.manifest` | the answer to the task at hand should this process die (W41) |
//! | `record.reserved`, `answer.reserved`, `spare.reserved` | room for these two (W48) |
//! | `dead-letters/<id>.manifest`, `.reason` | a result that no controller accepts, and why |
//!
//! A dead letter that the operator moves back to the outbox is posted again.
//!
//! Each file appears whole: it is written beside its place, synchronised, and renamed. Only the
//! process that holds the instance lock writes here.

mod artifacts;
mod dead_letters;
mod entry;
mod entry_id;
mod error;
mod record;
mod reserve;
mod store;
mod summary;

pub(crate) use entry::{Artifact, Entry};
pub(crate) use entry_id::EntryId;
pub(crate) use error::OutboxError;
pub(crate) use store::Outbox;
pub(crate) use summary::{Summary, summary};
