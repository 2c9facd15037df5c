//! QEMU's machine protocol, as far as an agent uses it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// What a command asks of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Both sides agree on the protocol.
    Begin,
    /// The power button was pressed.
    PowerDown,
    /// The hypervisor shall end.
    Quit,
}

/// Greets, and answers commands until the connection ends; every wish goes to `wish`.
pub(super) fn serve(connection: File, mut wish: impl FnMut(Wish)) -> Result<()> {
    let mut output = connection.try_clone()?;
    let mut say = |message: &Value| writeln!(output, "{message}\r");
    let version = json!({"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": "pretend"});
    say(&json!({"QMP": {"version": version, "capabilities": []}}))?;
    for line in BufReader::new(connection).lines() {
        let command: Value = serde_json::from_str(&line?).context("malformed command")?;
        let name = command["execute"].as_str().unwrap_or_default();
        let mut answer = json!({"return": returned(name)});
        if let Some(id) = command.get("id") {
            answer["id"] = id.clone();
        }
        say(&answer)?;
        let event = match name {
            "system_powerdown" => Some("POWERDOWN"),
            "stop" => Some("STOP"),
            "cont" => Some("RESUME"),
            _ => None,
        };
        if let Some(event) = event {
            say(&json!({"event": event, "data": {}, "timestamp": timestamp()}))?;
        }
        match name {
            "qmp_capabilities" => wish(Wish::Begin),
            "system_powerdown" => wish(Wish::PowerDown),
            "quit" => wish(Wish::Quit),
            _ => (),
        }
    }
    Ok(())
}

/// What a command returns.
fn returned(name: &str) -> Value {
    match name {
        "query-status" => json!({"running": true, "singlestep": false, "status": "running"}),
        _ => json!({}),
    }
}

fn timestamp() -> Value {
    let now = crate::clock::now();
    json!({"seconds": now / 1_000_000_000, "microseconds": now / 1000 % 1_000_000})
}
