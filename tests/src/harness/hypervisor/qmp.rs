//! QEMU's machine protocol (QMP), as far as an agent uses it.

use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::machine::Machine;

/// Sends the greeting, and answers commands until the connection ends.
///
/// Before each answer it sends two events that no schema contains: one with an unknown name, and a
/// known one with an unknown value.
pub(super) fn serve(connection: File, machine: &Machine) -> Result<()> {
    let version = json!({"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "pretend"});
    machine.send(&json!({"QMP": {"version": version, "capabilities": []}}))?;
    for line in BufReader::new(connection).lines() {
        let command: Value = serde_json::from_str(&line?).context("malformed command")?;
        let name = command["execute"].as_str().unwrap_or_default();
        machine.send_event("UNKNOWN_EVENT", &json!({"unknown": ["value"]}))?;
        machine.send_event("WATCHDOG", &json!({"action": "unknown"}))?;
        machine.before_answer(name);
        let mut answer = json!({"return": returned(name, machine)});
        if let Some(id) = command.get("id") {
            answer["id"] = id.clone();
        }
        machine.send(&answer)?;
        let event = match name {
            "system_powerdown" => Some("POWERDOWN"),
            "stop" => Some("STOP"),
            "cont" => Some("RESUME"),
            _ => None,
        };
        event.map_or(Ok(()), |event| machine.send_event(event, &json!({})))?;
        machine.after_answer(name);
    }
    Ok(())
}

/// The return value of a command.
fn returned(name: &str, machine: &Machine) -> Value {
    match name {
        "query-status" => json!({
            "running": machine.processors.are_running(),
            "singlestep": false,
            "status": machine.status(),
        }),
        _ => json!({}),
    }
}
