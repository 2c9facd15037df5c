//! QEMU's machine protocol, as far as an agent uses it.

use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::machine::Machine;

/// Greets, and answers commands until the connection ends.
///
/// Between each command and its answer comes news that no schema of today knows: an event, and a
/// value of a known event.
pub(super) fn serve(connection: File, machine: &Machine) -> Result<()> {
    let version = json!({"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "pretend"});
    machine.say(&json!({"QMP": {"version": version, "capabilities": []}}))?;
    for line in BufReader::new(connection).lines() {
        let command: Value = serde_json::from_str(&line?).context("malformed command")?;
        let name = command["execute"].as_str().unwrap_or_default();
        machine.tell("TIDINGS_OF_TOMORROW", &json!({"mood": ["new"]}))?;
        machine.tell("WATCHDOG", &json!({"action": "dance"}))?;
        machine.obey(name);
        let mut answer = json!({"return": returned(name, machine)});
        if let Some(id) = command.get("id") {
            answer["id"] = id.clone();
        }
        machine.say(&answer)?;
        let event = match name {
            "system_powerdown" => Some("POWERDOWN"),
            "stop" => Some("STOP"),
            "cont" => Some("RESUME"),
            _ => None,
        };
        event.map_or(Ok(()), |event| machine.tell(event, &json!({})))?;
        machine.go_on(name);
    }
    Ok(())
}

/// What a command returns.
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
