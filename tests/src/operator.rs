//! An operator who looks at a guest through QEMU's human monitor.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::farm::Farm;

const PROMPT: &str = "(qemu) ";
/// Far more than an answer takes.
const LIMIT: Duration = Duration::from_secs(30);

/// A connection to a monitor.
#[derive(Debug)]
pub struct Operator(UnixStream);

impl Operator {
    /// Connects to the monitor at `path`, as the farm sees it.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn connect(farm: &Farm, path: &Path) -> Result<Operator> {
        let connection = farm.inside().run(|| UnixStream::connect(path))?;
        let connection = connection.with_context(|| format!("no monitor {}", path.display()))?;
        connection.set_read_timeout(Some(LIMIT))?;
        let mut operator = Operator(connection);
        operator.read_to_prompt()?;
        Ok(operator)
    }

    /// Gives a command and returns what the monitor says to it.
    ///
    /// # Errors
    /// If the monitor says nothing.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.tell(command)?;
        self.read_to_prompt()
    }

    /// Gives a command that the monitor may not outlive.
    ///
    /// # Errors
    /// If it is gone already.
    pub fn tell(&mut self, command: &str) -> Result<()> {
        writeln!(self.0, "{command}").context("the monitor is gone")
    }

    fn read_to_prompt(&mut self) -> Result<String> {
        let mut said = Vec::new();
        let mut buffer = [0; 1024];
        while !said.ends_with(PROMPT.as_bytes()) {
            let count = self.0.read(&mut buffer).context("the monitor is silent")?;
            ensure!(count > 0, "the monitor hung up");
            said.extend(&buffer[..count]);
        }
        let said = String::from_utf8(said)?;
        Ok(said.trim_end_matches(PROMPT).trim().to_owned())
    }
}
