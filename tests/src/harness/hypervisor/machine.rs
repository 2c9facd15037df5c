//! The machine, as both monitors control it.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};

use super::event::Event;
use crate::harness::clock;

/// The guest's processors: running, or paused.
#[derive(Debug, Default)]
pub(super) struct Processors {
    paused: Mutex<bool>,
    changed: Condvar,
}

impl Processors {
    fn set(&self, paused: bool) {
        *self.lock() = paused;
        self.changed.notify_all();
    }

    /// Whether they run.
    pub(super) fn are_running(&self) -> bool {
        !*self.lock()
    }

    /// Waits until they run.
    pub(super) fn wait_until_running(&self) {
        let waited = self.changed.wait_while(self.lock(), |paused| *paused);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The power button: it was pressed, or not yet.
#[derive(Debug, Default)]
pub(super) struct PowerButton {
    is_pressed: Mutex<bool>,
    pressed: Condvar,
}

impl PowerButton {
    fn press(&self) {
        *self.is_pressed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.pressed.notify_all();
    }

    /// Waits until it was pressed.
    pub(super) fn wait_until_pressed(&self) {
        let lock = self.is_pressed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.pressed.wait_while(lock, |is_pressed| !*is_pressed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) processors: Arc<Processors>,
    pub(super) power: Arc<PowerButton>,
    pub(super) events: Sender<Event>,
    /// The connection of QMP.
    pub(super) qmp: Arc<Mutex<File>>,
}

impl Machine {
    /// Does what a command must do before it is answered.
    pub(super) fn before_answer(&self, command: &str) {
        match command {
            "stop" => self.processors.set(true),
            "cont" => self.processors.set(false),
            _ => (),
        }
    }

    /// Does what a command must do after it was answered.
    pub(super) fn after_answer(&self, command: &str) {
        let event = match command {
            "qmp_capabilities" => Event::Begin,
            "system_powerdown" => {
                self.power.press();
                Event::PowerDown
            }
            "quit" => Event::Quit,
            _ => return,
        };
        // It fails if the hypervisor has ended.
        drop(self.events.send(event));
    }

    /// Sends a message on QMP.
    pub(super) fn send(&self, message: &Value) -> Result<()> {
        let mut qmp = self.qmp.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(qmp, "{message}\r")?)
    }

    /// Sends an event on QMP.
    pub(super) fn send_event(&self, event: &str, data: &Value) -> Result<()> {
        let now = clock::now();
        let (seconds, microseconds) = (now / 1_000_000_000, now / 1000 % 1_000_000);
        let timestamp = json!({"seconds": seconds, "microseconds": microseconds});
        self.send(&json!({"event": event, "data": data, "timestamp": timestamp}))
    }

    /// Reports that the hypervisor is about to exit, for this reason.
    pub(super) fn shut_down(&self, reason: &str) -> Result<()> {
        let is_guest = reason.starts_with("guest-");
        self.send_event("SHUTDOWN", &json!({"guest": is_guest, "reason": reason}))
    }

    /// Fails a write to the disk for lack of space: as QEMU does, pauses and sends the reason.
    pub(super) fn fill_disk(&self) -> Result<()> {
        self.processors.set(true);
        let error = json!({"device": "disk0", "node-name": "#block", "operation": "write",
            "action": "stop", "nospace": true, "reason": "No space left on device"});
        self.send_event("BLOCK_IO_ERROR", &error)?;
        self.send_event("STOP", &json!({}))
    }

    /// QEMU's name for the state of the processors.
    pub(super) fn status(&self) -> &'static str {
        if self.processors.are_running() { "running" } else { "paused" }
    }
}
