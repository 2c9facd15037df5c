//! The configuration of one instance: the command line, validated (W1).

mod banner;
mod controllers;
mod host;
mod requirements;
mod toolchain_name;

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bbot_manifest::StandardVersion;
use bbot_manifest::protocol::{InteractiveMode, Sha256Fingerprint};
use bbot_vm::NetworkConfig;

use crate::cli::Cli;
use crate::diag::quoted;

pub(crate) use controllers::Controller;
pub(crate) use requirements::Requirements;
pub(crate) use toolchain_name::ToolchainName;

/// The longest path of a runtime directory, in bytes: the kernel limits the path of a socket in it
/// to 107 bytes.
const RUNTIME_DIR_MAX: usize = 107 - "/private/monitor.sock".len();

/// The configuration of one instance.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Config {
    /// Whether it runs as a systemd service.
    pub(crate) systemd: bool,
    /// The toolchain.
    pub(crate) toolchain: Toolchain,
    /// The worker version that machines must have been bootstrapped with (W8).
    pub(crate) worker_version: StandardVersion,
    /// Whether interactive builds are accepted, others, or both.
    pub(crate) interactive: InteractiveMode,
    /// The address at which interactive users reach the guest; `Some` unless `interactive` is
    /// false.
    pub(crate) interactive_address: Option<IpAddr>,
    /// The instance's number.
    pub(crate) instance: u16,
    /// The most machines that may be busy at once; 0: no limit, and priorities only order requests.
    pub(crate) instance_max: u16,
    /// The number of this instance on its host, among all toolchains.
    pub(crate) offset: u16,
    /// CPUs of a guest.
    pub(crate) cpu: u32,
    /// RAM of a guest in KiB.
    pub(crate) ram_kib: u64,
    /// The bridge that guests are attached to.
    pub(crate) bridge: String,
    /// The private key that challenges are signed with.
    pub(crate) auth_key: Option<PathBuf>,
    /// The fingerprints that replace the trusted ones of a task, unless empty.
    pub(crate) trust: Vec<String>,
    /// The folder of the machines.
    pub(crate) machines: PathBuf,
    /// The root of TFTP folders.
    pub(crate) tftp: PathBuf,
    /// The TFTP port of offset 0.
    pub(crate) tftp_port: u16,
    /// The limits of durations.
    pub(crate) timeouts: Timeouts,
    /// The most boots after the first, in a bootstrap.
    pub(crate) bootstrap_retries: u32,
    /// The most boots after the first, in a build.
    pub(crate) build_retries: u32,
    /// The openssl program.
    pub(crate) openssl: PathBuf,
    /// Options of its commands.
    pub(crate) openssl_options: Vec<String>,
    /// Print the machines and exit.
    pub(crate) dump_machines: bool,
    /// Print the task and exit.
    pub(crate) dump_task: bool,
    /// Print the result and exit.
    pub(crate) dump_result: bool,
    /// Pretend to bootstrap.
    pub(crate) fake_bootstrap: bool,
    /// Answer tasks with `abort`.
    pub(crate) fake_build: bool,
    /// Machine header manifest in place of the machines.
    pub(crate) fake_machine: Option<PathBuf>,
    /// Task manifest in place of the controllers' answers.
    pub(crate) fake_request: Option<PathBuf>,
    /// The hypervisor program, if it was named.
    pub(crate) hypervisor: Option<PathBuf>,
    /// The folder of sockets, console log and status.
    pub(crate) runtime_dir: PathBuf,
    /// The folder of outbox, dead letters and reports.
    pub(crate) state_dir: PathBuf,
    /// The lock file that prevents a second process of this instance (W2).
    pub(crate) instance_lock: PathBuf,
    /// How long a guest is held for inspection (W27).
    pub(crate) hold_timeout: HoldTimeout,
    /// The days for which a result is kept for its controller.
    pub(crate) outbox_days: u32,
    /// The most bytes that a guest may upload in one task.
    pub(crate) upload_limit: u64,
    /// The size of the outbox, in bytes, from which on no task is requested.
    pub(crate) outbox_limit: u64,
    /// What the host must have for a task to be requested (W67).
    pub(crate) required_of_host: Requirements,
    /// The user that the hypervisor runs as, if it was named.
    pub(crate) vm_user: Option<String>,
    /// The controllers, in the order of the command line; never empty.
    pub(crate) controllers: Vec<Controller>,
    /// The name of the agent for controllers: that of the host.
    pub(crate) hostname: String,
}

/// The toolchain that an agent works with.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    /// Its name.
    pub(crate) name: ToolchainName,
    /// Its number on this host, 1 to 99.
    pub(crate) number: u16,
    /// The host lock; disabled if there is none.
    pub(crate) lock: Option<PathBuf>,
    /// Its version, which is sent to controllers.
    pub(crate) version: StandardVersion,
    /// Its id; without one, machines are not bootstrapped again for another toolchain.
    pub(crate) id: Option<String>,
}

/// The limits of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// From the start of a machine to its first request, in a bootstrap.
    pub(crate) bootstrap_startup: Duration,
    /// From there to the end of the bootstrap.
    pub(crate) bootstrap: Duration,
    /// From the start of a machine to its first request, in a build.
    pub(crate) build_startup: Duration,
    /// From there to the end of the build.
    pub(crate) build: Duration,
    /// From there to the end of an interactive build.
    pub(crate) interactive: Duration,
    /// To power down after a bootstrap.
    pub(crate) shutdown: Duration,
    /// To connect to a controller.
    pub(crate) connect: Duration,
    /// A request to a controller.
    pub(crate) request: Duration,
}

/// How long a guest is held for inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldTimeout {
    /// It is not held.
    Never,
    /// For this duration.
    Limit(Duration),
    /// Until the operator ends it.
    Forever,
}

/// Why a command line is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// An option has an invalid value.
    #[error("invalid value {} of option '{option}': {problem}", quoted(value))]
    Option { option: &'static str, value: String, problem: String },
    /// An argument is not a controller.
    #[error("invalid controller {}: {problem}", quoted(argument))]
    Controller { argument: String, problem: &'static str },
    /// No controller is named.
    #[error("controller URL expected, see bbot-agent --help")]
    NoController,
    /// A property of the host could not be found out.
    #[error("cannot find out {what}")]
    Host { what: &'static str, source: io::Error },
}

impl Config {
    /// Validates a command line.
    pub(crate) fn from_cli(cli: Cli) -> Result<Self, ConfigError> {
        let toolchain = Toolchain::from_cli(&cli)?;
        let instance_name = format!("{}-{}", toolchain.name, cli.instance);
        let offset = (cli.toolchain_num - 1) * 100 + cli.instance;
        check_port(cli.tftp_port, offset)?;
        let interactive = parsed("--interactive", &cli.interactive)?;
        let runtime_dir = runtime_dir(cli.runtime_dir.as_deref(), &instance_name)?;
        let locks = if cli.runtime_dir.is_some() { &runtime_dir } else { Path::new("/run/lock") };
        // `@` cannot be in the name of a toolchain: the lock of the toolchain `public-1`, in the
        // same folder, must not be that of instance 1 of `public`.
        let instance_lock = locks.join(format!("bbot-agent@{instance_name}.lock"));
        let state_dir = match &cli.state_dir {
            Some(path) => absolute("--state-dir", path)?,
            None => Path::new("/var/lib/bbot-agent").join(&instance_name),
        };
        Ok(Self {
            systemd: cli.systemd_daemon,
            toolchain,
            worker_version: parsed("--worker-ver", &cli.worker_ver)?,
            interactive,
            interactive_address: interactive_address(interactive, cli.interactive_address)?,
            instance: cli.instance,
            instance_max: cli.instance_max,
            offset,
            cpu: cli.cpu,
            ram_kib: cli.ram,
            bridge: bridge(&cli.bridge)?,
            auth_key: key(cli.auth_key.as_deref())?,
            trust: trust(&cli.trust)?,
            machines: absolute("--machines", &cli.machines)?,
            tftp: absolute("--tftp", &cli.tftp)?,
            tftp_port: cli.tftp_port,
            timeouts: Timeouts::from_cli(&cli),
            bootstrap_retries: cli.bootstrap_retries,
            build_retries: cli.build_retries,
            openssl: program("--openssl", &cli.openssl)?,
            dump_machines: cli.dump_machines,
            dump_task: cli.dump_task,
            dump_result: cli.dump_result,
            fake_bootstrap: cli.fake_bootstrap,
            fake_build: cli.fake_build,
            fake_machine: optional("--fake-machine", cli.fake_machine.as_deref(), absolute)?,
            fake_request: optional("--fake-request", cli.fake_request.as_deref(), absolute)?,
            hypervisor: optional("--hypervisor", cli.hypervisor.as_deref(), program)?,
            runtime_dir,
            state_dir,
            instance_lock,
            hold_timeout: hold_timeout(&cli.hold_timeout)?,
            outbox_days: cli.outbox_days,
            upload_limit: cli.upload_limit,
            outbox_limit: cli.outbox_limit,
            required_of_host: Requirements {
                free_percent: cli.min_free,
                ram_kib: cli.ram,
                memory_pressure: cli.memory_pressure_max,
                io_pressure: cli.io_pressure_max,
            },
            controllers: controllers::controllers(&cli)?,
            hostname: host::name()?,
            vm_user: vm_user(cli.vm_user)?,
            openssl_options: cli.openssl_option,
        })
    }

    /// Returns whether no guest can be started and no machine be bootstrapped: such an instance
    /// removes nothing that an ended process has left, and does not need root (W42, W46).
    pub(crate) fn is_fake(&self) -> bool {
        let only_prints = (self.dump_task || self.fake_build) && !self.fake_bootstrap;
        self.fake_machine.is_some() || (self.fake_request.is_some() && only_prints)
    }

    /// Returns whether guests are started, and the host must be able to run them.
    pub(crate) fn runs_guests(&self) -> bool {
        let all_fake = self.fake_bootstrap && self.fake_build;
        !(self.is_fake() || self.dump_machines || all_fake)
    }

    /// Returns whether the instance ends after one task, or without one: it does not wait for the
    /// host.
    pub(crate) fn is_one_shot(&self) -> bool {
        self.dump_machines || self.dump_task || self.dump_result || self.fake_request.is_some()
    }

    /// Returns the network names and numbers of this instance.
    pub(crate) fn network(&self) -> NetworkConfig {
        let tftp_port = self.tftp_port + self.offset;
        NetworkConfig::new(self.bridge.clone(), self.offset, self.instance_name(), tftp_port)
    }

    /// Returns the hypervisor to run (D5).
    pub(crate) fn hypervisor(&self) -> PathBuf {
        self.hypervisor.clone().unwrap_or_else(|| host::default_hypervisor().into())
    }

    /// Returns `<toolchain>-<instance>`, the name of all that this instance owns outside its
    /// process (I4).
    pub(crate) fn instance_name(&self) -> String {
        format!("{}-{}", self.toolchain.name, self.instance)
    }
}

impl Toolchain {
    fn from_cli(cli: &Cli) -> Result<Self, ConfigError> {
        let name: ToolchainName = parsed("--toolchain-name", &cli.toolchain_name)?;
        let fake = cli.fake_bootstrap || cli.fake_build;
        let fake = fake || cli.fake_machine.is_some() || cli.fake_request.is_some();
        let lock = match cli.toolchain_lock.as_deref() {
            Some(path) if path.is_empty() => None,
            Some(path) => Some(absolute_already("--toolchain-lock", path)?),
            None if fake => None,
            None => Some(PathBuf::from(format!("/var/lock/bbot-agent-{name}.lock"))),
        };
        let id = Some(&cli.toolchain_id).filter(|id| !id.is_empty()).cloned();
        if let Some(id) = id.as_ref().filter(|id| id.contains(char::is_control)) {
            return Err(invalid("--toolchain-id", id, "control characters"));
        }
        let version = parsed("--toolchain-ver", &cli.toolchain_ver)?;
        Ok(Self { name, number: cli.toolchain_num, lock, version, id })
    }
}

impl Timeouts {
    fn from_cli(cli: &Cli) -> Self {
        Self {
            bootstrap_startup: Duration::from_secs(cli.bootstrap_startup),
            bootstrap: Duration::from_secs(cli.bootstrap_timeout),
            build_startup: Duration::from_secs(cli.build_startup),
            build: Duration::from_secs(cli.build_timeout),
            interactive: Duration::from_secs(cli.interactive_timeout),
            shutdown: Duration::from_secs(cli.shutdown_timeout),
            connect: Duration::from_secs(cli.connect_timeout),
            request: Duration::from_secs(cli.request_timeout),
        }
    }
}

fn invalid(option: &'static str, value: &str, problem: impl fmt::Display) -> ConfigError {
    ConfigError::Option { option, value: value.to_owned(), problem: problem.to_string() }
}

fn parsed<T>(option: &'static str, value: &str) -> Result<T, ConfigError>
where
    T: FromStr<Err: fmt::Display>,
{
    value.parse().map_err(|error| invalid(option, value, error))
}

/// Applies `check` to the value of an option that may be absent.
fn optional<T>(
    option: &'static str,
    value: Option<&Path>,
    check: fn(&'static str, &Path) -> Result<T, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    value.map(|value| check(option, value)).transpose()
}

/// Makes a path absolute, so that it does not depend on the working directory of a child process.
fn absolute(option: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|error| invalid(option, &path.to_string_lossy(), error))
}

fn absolute_already(option: &'static str, path: &OsStr) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(invalid(option, &path.to_string_lossy(), "must be an absolute path"))
    }
}

/// Checks the name of a program: without a slash it is searched for in the PATH when it is run.
fn program(option: &'static str, program: &Path) -> Result<PathBuf, ConfigError> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        absolute(option, program)
    } else {
        Ok(program.to_path_buf())
    }
}

fn check_port(base: u16, offset: u16) -> Result<(), ConfigError> {
    if base.checked_add(offset).is_some() {
        return Ok(());
    }
    let problem = format!("the port of this instance, {offset} above, would exceed 65535");
    Err(invalid("--tftp-port", &base.to_string(), problem))
}

fn runtime_dir(given: Option<&Path>, instance_name: &str) -> Result<PathBuf, ConfigError> {
    let path = match given {
        Some(path) => absolute("--runtime-dir", path)?,
        None => Path::new("/run/bbot-agent").join(instance_name),
    };
    let length = path.as_os_str().len();
    if length <= RUNTIME_DIR_MAX {
        return Ok(path);
    }
    let problem = format!("{length} bytes are too many for its sockets, at most {RUNTIME_DIR_MAX}");
    Err(match given {
        Some(given) => invalid("--runtime-dir", &given.to_string_lossy(), problem),
        None => invalid("--toolchain-name", instance_name, format!("runtime folder: {problem}")),
    })
}

fn interactive_address(
    mode: InteractiveMode,
    given: Option<IpAddr>,
) -> Result<Option<IpAddr>, ConfigError> {
    match (mode, given) {
        (InteractiveMode::False, _) => Ok(given),
        (_, Some(address)) => Ok(Some(address)),
        (_, None) => host::address().map(Some),
    }
}

/// Checks the name of a network interface: the kernel allows 15 bytes.
fn bridge(name: &str) -> Result<String, ConfigError> {
    let is_fit = |c: char| c.is_ascii_graphic() && !"/:".contains(c);
    if (1..=15).contains(&name.len()) && name.chars().all(is_fit) && ![".", ".."].contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(invalid("--bridge", name, "not the name of a network interface"))
    }
}

/// Checks that the key is a file that can be read: otherwise no challenge could be signed.
fn key(path: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    let refuse =
        |problem: &dyn fmt::Display| invalid("--auth-key", &path.to_string_lossy(), problem);
    let metadata = File::open(path).and_then(|file| file.metadata()).map_err(|e| refuse(&e))?;
    if !metadata.is_file() {
        return Err(refuse(&"not a file"));
    }
    absolute("--auth-key", path).map(Some)
}

/// Returns fingerprints of certificates in the form that workers expect; `yes` trusts all.
fn trust(values: &[String]) -> Result<Vec<String>, ConfigError> {
    let trust = |value: &String| match value.as_str() {
        "yes" => Ok(value.clone()),
        value => parsed("--trust", value).map(|value: Sha256Fingerprint| value.to_string()),
    };
    values.iter().map(trust).collect()
}

fn hold_timeout(value: &str) -> Result<HoldTimeout, ConfigError> {
    match value.parse() {
        Ok(0) => Ok(HoldTimeout::Forever),
        Ok(seconds) if seconds <= crate::cli::SECONDS_MAX => {
            Ok(HoldTimeout::Limit(Duration::from_secs(seconds)))
        }
        _ if value == "none" => Ok(HoldTimeout::Never),
        _ => Err(invalid("--hold-timeout", value, "neither seconds (a year at most) nor 'none'")),
    }
}

fn vm_user(name: Option<String>) -> Result<Option<String>, ConfigError> {
    match name {
        Some(name) if name.is_empty() || name.contains([':', '/', '\0']) => {
            Err(invalid("--vm-user", &name, "not the name of a user"))
        }
        name => Ok(name),
    }
}

#[cfg(test)]
pub(crate) mod tests;
