//! What is stored, and reserved, before a task may be requested (W48, W49).

use anyhow::Context;

use crate::diag;
use crate::outbox::Outbox;
use crate::task::unstored::Unstored;

/// The answers that are to be stored.
#[derive(Debug)]
pub(crate) struct Storing<'a> {
    pub(crate) outbox: &'a Outbox,
    /// Those of this process.
    pub(crate) unstored: &'a mut Vec<Unstored>,
    /// Whether the task that an ended process had at hand is answered (W41). It is, whatever this
    /// process is going to do: its own tasks are recorded in the same place (W46).
    pub(crate) is_recovered: bool,
}

impl Storing<'_> {
    /// Stores what could not be stored yet, and makes room for the record and the answer of the
    /// next task. After an error it is to be attempted again.
    pub(crate) fn attempt(self) -> anyhow::Result<()> {
        self.outbox.make_ready()?;
        if !self.is_recovered
            && self.outbox.recover_record().context("cannot recover the task at hand")?
        {
            diag::info("a task that was at hand is answered with interrupt");
        }
        while let Some(unstored) = self.unstored.last_mut() {
            unstored.store(self.outbox)?;
            self.unstored.pop();
        }
        Ok(self.outbox.make_room()?)
    }
}
