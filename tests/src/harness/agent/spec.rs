//! The command line of an agent.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::harness::farm::Farm;
use crate::harness::programs;

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

    /// The same agent, with one more controller, whose argument is `<priority>=<url>` or its URL.
    #[must_use]
    pub fn with_controller(mut self, controller: impl Into<OsString>) -> AgentSpec {
        self.arguments.push(controller.into());
        self
    }

    /// The same agent, run by the tracer with these options.
    ///
    /// # Errors
    /// If the tracer has not been built.
    pub fn traced<T: Into<OsString>>(
        mut self,
        options: impl IntoIterator<Item = T>,
    ) -> Result<AgentSpec> {
        self.under = vec![programs::find("bbot-crash")?.into(), "trace".into()];
        self.under.extend(options.into_iter().map(Into::into));
        self.under.push("--".into());
        Ok(self)
    }

    /// The command that runs it in `farm`, with the farm's folders.
    ///
    /// # Errors
    /// If the agent has not been built.
    pub fn command(&self, farm: &Farm) -> Result<Command> {
        let agent = programs::find("bbot-agent")?;
        let mut words = self.under.iter().cloned().chain([agent.into()]);
        let mut command = farm.namespaces().command(words.next().unwrap_or_default());
        command.args(words);
        let instance = self.instance.to_string();
        let state = farm.state().join(format!("{}-{instance}", self.toolchain));
        command.args(["--verbose", "2", "--toolchain-name", &self.toolchain]);
        command.args(["--instance", &instance]);
        // The farm's folders may be on a disk of the developer that is almost full.
        command.args(["--min-free", "0"]);
        command.arg("--machines").arg(farm.machines()).arg("--tftp").arg(farm.tftp());
        command.arg("--state-dir").arg(state).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}
