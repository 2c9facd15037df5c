//! QEMU's machine protocol, as far as an agent uses it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::machine::Machine;

/// Greets, and answers commands until the connection ends.
///
/// Between each command and its answer comes news that no schema of today knows: an event, and a
/// value of a known event.
pub(super) fn serve(connection: File, machine: &Machine) -> Result<()> {
    let mut output = connection.try_clone()?;
    let mut say = |message: &Value| writeln!(output, "{message}\r");
    let version = json!({"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "pretend"});
    say(&json!({"QMP": {"version": version, "capabilities": []}}))?;
    for line in BufReader::new(connection).lines() {
        let command: Value = serde_json::from_str(&line?).context("malformed command")?;
        let name = command["execute"].as_str().unwrap_or_default();
        say(&event("TIDINGS_OF_TOMORROW", &json!({"mood": ["new"]})))?;
        say(&event("WATCHDOG", &json!({"action": "dance"})))?;
        machine.obey(name);
        let mut answer = json!({"return": returned(name, machine)});
        if let Some(id) = command.get("id") {
            answer["id"] = id.clone();
        }
        say(&answer)?;
        let news = match name {
            "system_powerdown" => Some("POWERDOWN"),
            "stop" => Some("STOP"),
            "cont" => Some("RESUME"),
            _ => None,
        };
        if let Some(name) = news {
            say(&event(name, &json!({})))?;
        }
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

fn event(name: &str, data: &Value) -> Value {
    let now = crate::clock::now();
    let timestamp = json!({"seconds": now / 1_000_000_000, "microseconds": now / 1000 % 1_000_000});
    json!({"event": name, "data": data, "timestamp": timestamp})
}
