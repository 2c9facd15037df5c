//! What both monitors have power over.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};

use super::Event;

/// The guest's processors: they run, or stand still.
#[derive(Debug, Default)]
pub(super) struct Processors {
    stand_still: Mutex<bool>,
    changed: Condvar,
}

impl Processors {
    fn set(&self, stand_still: bool) {
        *self.lock() = stand_still;
        self.changed.notify_all();
    }

    /// Whether they run.
    pub(super) fn are_running(&self) -> bool {
        !*self.lock()
    }

    /// Returns as soon as they run.
    pub(super) fn wait_until_running(&self) {
        let waited = self.changed.wait_while(self.lock(), |stand_still| *stand_still);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stand_still.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The machine, as its monitors see it.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) processors: Arc<Processors>,
    pub(super) events: Sender<Event>,
    /// Our end of the machine protocol.
    pub(super) qmp: Arc<Mutex<File>>,
}

impl Machine {
    /// What a command does before it is answered.
    pub(super) fn obey(&self, command: &str) {
        match command {
            "stop" => self.processors.set(true),
            "cont" => self.processors.set(false),
            _ => (),
        }
    }

    /// What a command does when it has been answered.
    pub(super) fn go_on(&self, command: &str) {
        let event = match command {
            "qmp_capabilities" => Event::Begin,
            "system_powerdown" => Event::PowerDown,
            "quit" => Event::Quit,
            _ => return,
        };
        // The hypervisor has ended: nobody wants to know.
        drop(self.events.send(event));
    }

    /// Says something on the machine protocol.
    pub(super) fn say(&self, message: &Value) -> Result<()> {
        let mut qmp = self.qmp.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(qmp, "{message}\r")?)
    }

    /// Tells an event on the machine protocol.
    pub(super) fn tell(&self, event: &str, data: &Value) -> Result<()> {
        let now = crate::clock::now();
        let (seconds, microseconds) = (now / 1_000_000_000, now / 1000 % 1_000_000);
        let timestamp = json!({"seconds": seconds, "microseconds": microseconds});
        self.say(&json!({"event": event, "data": data, "timestamp": timestamp}))
    }

    /// A write to the disk finds no room: as QEMU, the machine stands still and says why.
    pub(super) fn fill_disk(&self) -> Result<()> {
        self.processors.set(true);
        let error = json!({"device": "disk0", "node-name": "#block", "operation": "write",
            "action": "stop", "nospace": true, "reason": "No space left on device"});
        self.tell("BLOCK_IO_ERROR", &error)?;
        self.tell("STOP", &json!({}))
    }

    /// QEMU's word for what the processors do.
    pub(super) fn status(&self) -> &'static str {
        if self.processors.are_running() { "running" } else { "paused" }
    }
}
