//! An operator who inspects a guest through QEMU's human monitor.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::farm::Farm;
use super::limits::LIMIT;

const PROMPT: &str = "(qemu) ";

/// A connection to a monitor.
#[derive(Debug)]
pub struct Operator(UnixStream);

impl Operator {
    /// Connects to the monitor at `path`, as the farm sees it.
    ///
    /// # Errors
    /// If no process listens there.
    pub fn connect(farm: &Farm, path: &Path) -> Result<Operator> {
        let connection = farm.namespaces().run(|| UnixStream::connect(path))?;
        let connection = connection.with_context(|| format!("no monitor {}", path.display()))?;
        connection.set_read_timeout(Some(LIMIT))?;
        let mut operator = Operator(connection);
        operator.read_to_prompt()?;
        Ok(operator)
    }

    /// Gives a command and returns the monitor's output.
    ///
    /// # Errors
    /// If the monitor does not answer.
    pub fn run(&mut self, command: &str) -> Result<String> {
        self.send(command)?;
        self.read_to_prompt()
    }

    /// Gives a command that may end the monitor, and does not wait for an answer.
    ///
    /// # Errors
    /// If the monitor has ended already.
    pub fn send(&mut self, command: &str) -> Result<()> {
        writeln!(self.0, "{command}").context("the monitor has ended")
    }

    fn read_to_prompt(&mut self) -> Result<String> {
        let mut output = Vec::new();
        let mut buffer = [0; 1024];
        while !output.ends_with(PROMPT.as_bytes()) {
            let count = self.0.read(&mut buffer).context("the monitor does not answer")?;
            ensure!(count > 0, "the monitor closed the connection");
            output.extend(&buffer[..count]);
        }
        let output = String::from_utf8(output)?;
        Ok(output.trim_end_matches(PROMPT).trim().to_owned())
    }
}
