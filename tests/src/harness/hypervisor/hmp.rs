//! QEMU's human monitor, as far as an operator of a held guest uses it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::Result;

use super::machine::Machine;

const BANNER: &str = "QEMU 7.2.0 monitor - type 'help' for more information\r\n";
const PROMPT: &str = "(qemu) ";

/// Serves one operator after the other.
pub(super) fn serve(listener: &UnixListener, machine: &Machine) {
    for operator in listener.incoming().flatten() {
        // An error of the connection is the end of it.
        drop(serve_one(&operator, machine));
    }
}

fn serve_one(mut operator: &UnixStream, machine: &Machine) -> Result<()> {
    write!(operator, "{BANNER}{PROMPT}")?;
    for line in BufReader::new(operator).lines() {
        match line?.trim_end() {
            "info status" => write!(operator, "VM status: {}\r\n", machine.status())?,
            command => {
                machine.before_answer(command);
                machine.after_answer(command);
            }
        }
        write!(operator, "{PROMPT}")?;
    }
    Ok(())
}
