//! A running agent.

use std::io::{BufRead, BufReader};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::phase::Phase;
use super::spec::AgentSpec;
use crate::harness::event_log::EventLog;
use crate::harness::farm::{Farm, Process};
use crate::harness::limits::LIMIT;

/// A running agent, whose standard error is read as it is written. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    lines: Arc<EventLog<String>>,
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

    /// Starts an agent in `farm`; `watch` is called with every line of its standard error at once.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_watched(
        farm: &Farm,
        spec: &AgentSpec,
        mut watch: impl FnMut(&str) + Send + 'static,
    ) -> Result<Agent> {
        let mut command = spec.command(farm)?;
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let process = farm.namespaces().spawn(&mut command)?;
        let stderr = process.take_stderr().context("the agent has no standard error")?;
        let lines = Arc::new(EventLog::default());
        let log = Arc::clone(&lines);
        let read = move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                watch(&line);
                log.push(line);
            }
        };
        let reader = std::thread::Builder::new().name("agent-lines".to_owned()).spawn(read)?;
        Ok(Agent { process, lines, reader: Some(reader) })
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The lines of its standard error until now.
    pub fn lines(&self) -> Vec<String> {
        self.lines.all()
    }

    /// How many lines until now contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// The phases that have ended until now.
    pub fn phases(&self) -> Vec<Phase> {
        self.lines().iter().filter_map(|line| Phase::parse(line)).collect()
    }

    /// How many phases of this name have ended until now.
    pub fn count_phases(&self, name: &str) -> usize {
        self.phases().iter().filter(|phase| phase.name == name).count()
    }

    /// Waits until `find` returns something for the lines of its standard error.
    ///
    /// # Errors
    /// If it does not within `limit`: with all lines.
    pub fn wait_for<T>(
        &self,
        limit: Duration,
        find: impl FnMut(&[String]) -> Option<T>,
    ) -> Result<T> {
        let found = self.lines.wait(limit, find);
        found.with_context(|| self.timeout("has not written the expected line", limit))
    }

    /// Waits until a line of its standard error contains `text`.
    ///
    /// # Errors
    /// If none does within [`LIMIT`]: with all lines.
    pub fn wait_for_line(&self, text: &str) -> Result<()> {
        let is_found = |line: &String| line.contains(text);
        self.wait_for(LIMIT, |lines| lines.iter().any(is_found).then_some(()))
            .with_context(|| format!("no line with {text:?}"))
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
        let status = status.with_context(|| self.timeout("has not ended", limit))?;
        self.join_reader();
        Ok(status)
    }

    /// Terminates it (SIGTERM) and waits until it has ended.
    ///
    /// # Errors
    /// If it has not within [`LIMIT`].
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.wait(LIMIT)
    }

    /// Terminates it (SIGTERM), waits until it has ended, and checks that its exit code is 0.
    ///
    /// # Errors
    /// If the exit code is another one, or it has not ended within [`LIMIT`]: with all lines.
    pub fn end(&mut self) -> Result<()> {
        let status = self.terminate()?;
        ensure!(status.success(), "the agent ended with {status}: {:#?}", self.lines());
        Ok(())
    }

    /// Kills it (SIGKILL) and returns when it has ended.
    ///
    /// # Errors
    /// If it has not ended within [`LIMIT`].
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill(LIMIT)?;
        self.join_reader();
        Ok(())
    }

    /// Waits until the last line has been read: no other process has the agent's standard error.
    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A panic there has been printed already.
            drop(reader.join());
        }
    }

    fn timeout(&self, what: &str, limit: Duration) -> String {
        let lines = self.lines().join("\n");
        format!("the agent {what} within {limit:?}; its standard error:\n{lines}")
    }
}
