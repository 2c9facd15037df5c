//! The request by which an agent asks a controller for a task.

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::protocol::machine::MachineHeader;
use crate::protocol::manifest::{Body, Manifest, parse_stream, write_manifest, write_stream};
use crate::protocol::record::{PairExt, Record, required};
use crate::protocol::writer::Writer;
use crate::text::Lines;
use crate::value::interactive_mode::InteractiveMode;
use crate::version::StandardVersion;

/// A request for a task, and the machines that it can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskRequest {
    /// The agent's host name.
    pub agent: String,
    /// The toolchain's name.
    pub toolchain_name: String,
    /// The toolchain's version.
    pub toolchain_version: StandardVersion,
    /// Which builds the agent takes; see [`effective_interactive_mode`].
    ///
    /// [`effective_interactive_mode`]: Self::effective_interactive_mode
    pub interactive_mode: Option<InteractiveMode>,
    /// How to log in to an interactive build.
    pub interactive_login: Option<String>,
    /// The SHA-256 fingerprint of the agent's public key, in hexadecimal digits.
    pub fingerprint: Option<String>,
    /// The RAM for auxiliary machines, in KiB; absent means no limit.
    pub auxiliary_ram: Option<u64>,
    /// The machines; at least one.
    pub machines: Vec<MachineHeader>,
}

impl TaskRequest {
    /// Returns a request with the required values.
    pub fn new(
        agent: impl Into<String>,
        machines: Vec<MachineHeader>,
        toolchain_name: impl Into<String>,
        toolchain_version: StandardVersion,
    ) -> Self {
        Self {
            agent: agent.into(),
            toolchain_name: toolchain_name.into(),
            toolchain_version,
            interactive_mode: None,
            interactive_login: None,
            fingerprint: None,
            auxiliary_ram: None,
            machines,
        }
    }

    /// Returns which builds the agent takes: those that are not interactive, unless others are
    /// given.
    pub fn effective_interactive_mode(&self) -> InteractiveMode {
        self.interactive_mode.unwrap_or_default()
    }

    fn read(record: &Record<'_>) -> Result<Self, Error> {
        let (mut agent, mut toolchain_name, mut toolchain_version) = (None, None, None);
        let (mut mode, mut login, mut fingerprint, mut ram) = (None, None, None, None);
        for pair in &record.pairs {
            match pair.name {
                "agent" => pair.put(&mut agent, pair.filled()?)?,
                "toolchain-name" => pair.put(&mut toolchain_name, pair.filled()?)?,
                "toolchain-version" => pair.put(&mut toolchain_version, pair.parsed()?)?,
                "interactive-mode" => pair.put(&mut mode, pair.parsed()?)?,
                "interactive-login" => pair.put(&mut login, pair.filled()?)?,
                "fingerprint" => pair.put(&mut fingerprint, pair.filled()?)?,
                "auxiliary-ram" => pair.put(&mut ram, pair.number()?)?,
                _ => return Err(pair.unknown("task request")),
            }
        }
        let request = Self {
            agent: required(agent, "agent", record.end_at)?,
            toolchain_name: required(toolchain_name, "toolchain-name", record.end_at)?,
            toolchain_version: required(toolchain_version, "toolchain-version", record.end_at)?,
            interactive_mode: mode,
            interactive_login: login,
            fingerprint,
            auxiliary_ram: ram,
            machines: Vec::new(),
        };
        let interactive = request.effective_interactive_mode() != InteractiveMode::False;
        if interactive && request.interactive_login.is_none() {
            let kind = ErrorKind::Missing { value: "interactive-login".to_owned() };
            return Err(Error::at(record.end_at, kind));
        }
        Ok(request)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        writer.start()?;
        writer.pair("agent", &self.agent)?;
        writer.pair("toolchain-name", &self.toolchain_name)?;
        writer.pair("toolchain-version", &self.toolchain_version)?;
        writer.optional("interactive-mode", self.interactive_mode)?;
        writer.optional("interactive-login", self.interactive_login.as_ref())?;
        writer.optional("fingerprint", self.fingerprint.as_ref())?;
        writer.optional("auxiliary-ram", self.auxiliary_ram)?;
        self.machines.iter().try_for_each(|machine| write_manifest(writer, machine))
    }
}

impl Manifest for TaskRequest {
    fn parse_within(input: &[u8], name: &str, limits: Limits) -> Result<Self, Error> {
        parse_stream(input, name, limits, |records| {
            let mut request = Self::read(&records.required()?)?;
            request.machines.push(MachineHeader::read(records.required()?)?);
            while let Some(record) = records.next_record()? {
                request.machines.push(MachineHeader::read(record)?);
            }
            Ok(request)
        })
    }

    fn to_text(&self, lines: Lines) -> Result<String, Error> {
        write_stream(lines, |writer| self.write(writer))
    }
}
