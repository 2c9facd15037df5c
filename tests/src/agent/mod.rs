//! The real agent, run in a farm.

mod phase;
mod watch;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

pub use phase::Phase;
pub use watch::{wait_for_file, wait_for_status};

use crate::farm::{Farm, Process};
use crate::growing::Growing;

/// Which agent to run, and how.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// The toolchain's name.
    pub toolchain: String,
    /// The instance's number.
    pub instance: u16,
    /// Further options, and after them the controllers' URLs.
    pub arguments: Vec<OsString>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
    /// A program that runs the agent, and its first arguments; usually none.
    pub under: Vec<OsString>,
}

impl Default for AgentSpec {
    fn default() -> Self {
        AgentSpec {
            toolchain: "default".to_owned(),
            instance: 1,
            arguments: Vec::new(),
            environment: Vec::new(),
            under: Vec::new(),
        }
    }
}

impl AgentSpec {
    /// Instance 1 of the toolchain `default`, with these arguments.
    pub fn new<T: Into<OsString>>(arguments: impl IntoIterator<Item = T>) -> AgentSpec {
        let arguments = arguments.into_iter().map(Into::into).collect();
        AgentSpec { arguments, ..AgentSpec::default() }
    }

    /// The command that runs it in `farm`, with the farm's folders.
    ///
    /// # Errors
    /// If the agent has not been built.
    pub fn command(&self, farm: &Farm) -> Result<Command> {
        let agent = crate::programs::find("bbot-agent")?;
        let mut words = self.under.iter().cloned().chain([agent.into()]);
        let mut command = farm.inside().command(words.next().unwrap_or_default());
        command.args(words);
        let instance = self.instance.to_string();
        let state = farm.state().join(format!("{}-{instance}", self.toolchain));
        command.args(["--verbose", "2", "--toolchain-name", &self.toolchain]);
        command.args(["--instance", &instance]);
        command.arg("--machines").arg(farm.machines()).arg("--tftp").arg(farm.tftp());
        command.arg("--state-dir").arg(state).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// A running agent; its standard error is read as it comes. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    lines: Arc<Growing<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts an agent in `farm`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(farm: &Farm, spec: &AgentSpec) -> Result<Agent> {
        Self::start_watched(farm, spec, |_| ())
    }

    /// Starts an agent in `farm`; `watch` sees every line of its standard error at once.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_watched(
        farm: &Farm,
        spec: &AgentSpec,
        mut watch: impl FnMut(&str) + Send + 'static,
    ) -> Result<Agent> {
        let mut command = spec.command(farm)?;
        let process = farm.inside().spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let stderr = process.take_stderr().context("the agent has no standard error")?;
        let lines = Arc::new(Growing::default());
        let log = Arc::clone(&lines);
        let read = move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                watch(&line);
                log.add(line);
            }
        };
        let reader = std::thread::Builder::new().name("agent-lines".to_owned()).spawn(read)?;
        Ok(Agent { process, lines, reader: Some(reader) })
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it has said until now.
    pub fn lines(&self) -> Vec<String> {
        self.lines.all()
    }

    /// The phases that have ended until now.
    pub fn phases(&self) -> Vec<Phase> {
        self.lines().iter().filter_map(|line| Phase::parse(line)).collect()
    }

    /// Waits until `find` finds something in what it has said.
    ///
    /// # Errors
    /// If it does not within `limit`: with all that was said.
    pub fn wait_for<T>(
        &self,
        limit: Duration,
        find: impl FnMut(&[String]) -> Option<T>,
    ) -> Result<T> {
        self.lines.wait(limit, find).with_context(|| self.complaint("has not said it", limit))
    }

    /// Waits until the phase `name` has ended for the `count`th time.
    ///
    /// # Errors
    /// As [`Agent::wait_for`].
    pub fn wait_for_phase(&self, limit: Duration, name: &str, count: usize) -> Result<Phase> {
        self.wait_for(limit, |lines| {
            let phases = lines.iter().filter_map(|line| Phase::parse(line));
            phases.filter(|phase| phase.name == name).nth(count - 1)
        })
        .with_context(|| format!("no phase {name}"))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If it has not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let status = self.process.wait(limit)?;
        let status = status.with_context(|| self.complaint("has not ended", limit))?;
        if let Some(reader) = self.reader.take() {
            // A panic there has been printed already.
            drop(reader.join());
        }
        Ok(status)
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// If it has not within 20 seconds.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.wait(Duration::from_secs(20))
    }

    fn complaint(&self, what: &str, limit: Duration) -> String {
        format!("the agent {what} within {limit:?}; it said:\n{}", self.lines().join("\n"))
    }
}
