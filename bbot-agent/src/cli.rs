//! The command line: its syntax. The values are validated in `config`.

#![allow(rustdoc::invalid_html_tags, reason = "the comments are the text of --help")]

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, value_parser};

use crate::diag::quoted;

/// The version of bbot, libbbot, libbpkg and libbutl that the agent is compatible with.
pub(crate) const BBOT_VERSION: &str = "0.16.0";

/// The output of `--version` after the name of the program.
const LONG_VERSION: &str = concat!(
    "0.16.0 (bbot-rs ",
    env!("CARGO_PKG_VERSION"),
    ")\n\
     libbbot 0.16.0\n\
     libbpkg 0.16.0\n\
     libbutl 0.16.0\n\
     Copyright (c) 2026 the bbot-rs developers.\n\
     This is free software released under the MIT license."
);

/// The longest duration of an option: a year.
pub(crate) const SECONDS_MAX: u64 = 366 * 24 * 3600;

/// Polls build controllers for tasks and performs them in throw-away virtual machines.
///
/// Options precede the controllers' URLs. A URL may be preceded by its priority, four or five
/// digits and '='.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "bbot-agent",
    version = concat!("0.16.0 (bbot-rs ", env!("CARGO_PKG_VERSION"), ")"),
    long_version = LONG_VERSION,
    args_override_self = true,
    override_usage = "bbot-agent [options] [<priority>=]<url>..."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Cli {
    /// Name of the toolchain
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) toolchain_name: String,

    /// Number of the toolchain on this host, 1 to 99
    #[arg(long, value_name = "NUM", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u16).range(1..=99))]
    pub(crate) toolchain_num: u16,

    /// Absolute path of the toolchain lock; empty disables it
    ///
    /// Default: /var/lock/bbot-agent-<NAME>.lock, or none with a --fake-* option
    #[arg(long, value_name = "PATH")]
    pub(crate) toolchain_lock: Option<OsString>,

    /// Toolchain version to report to controllers
    #[arg(long, value_name = "VERSION", default_value = BBOT_VERSION)]
    pub(crate) toolchain_ver: String,

    /// Toolchain id; machines are bootstrapped anew when it changes
    #[arg(long, value_name = "ID", default_value = "")]
    pub(crate) toolchain_id: String,

    /// Worker version that machines must have been bootstrapped with
    #[arg(long, value_name = "VERSION", default_value = BBOT_VERSION)]
    pub(crate) worker_ver: String,

    /// Whether to perform interactive builds: false, true or both
    #[arg(long, value_name = "MODE", default_value = "false")]
    pub(crate) interactive: String,

    /// Address where interactive users reach the machines
    ///
    /// Default: the first IPv4 address of an interface that is up and not the loopback.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) interactive_address: Option<IpAddr>,

    /// Number of this instance, 1 to 99
    #[arg(long, value_name = "NUM", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u16).range(1..=99))]
    pub(crate) instance: u16,

    /// Most tasks that all instances may perform at the same time; 0 = no limit, no priorities
    #[arg(long, value_name = "NUM", default_value_t = 0)]
    pub(crate) instance_max: u16,

    /// Number of CPUs of a machine
    #[arg(long, value_name = "NUM", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u32).range(1..=4096))]
    pub(crate) cpu: u32,

    /// RAM of a machine in KiB
    #[arg(long, value_name = "KIB", default_value_t = 1_048_576)]
    #[arg(value_parser = value_parser!(u64).range(1024..=1 << 40))]
    pub(crate) ram: u64,

    /// Bridge that the machines are attached to
    #[arg(long, value_name = "INTERFACE", default_value = "br1")]
    pub(crate) bridge: String,

    /// RSA private key (PEM) to authenticate with
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_key: Option<PathBuf>,

    /// Trust this repository certificate (SHA-256 fingerprint) instead of the task's; may repeat
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) trust: Vec<String>,

    /// Folder of the machines
    #[arg(long, value_name = "DIR", default_value = "/build/machines/")]
    pub(crate) machines: PathBuf,

    /// Root folder of the files that are exchanged with the machines by TFTP
    #[arg(long, value_name = "DIR", default_value = "/build/tftp/")]
    pub(crate) tftp: PathBuf,

    /// TFTP base port; toolchain number and instance are added to it
    #[arg(long, value_name = "PORT", default_value_t = 23400)]
    #[arg(value_parser = value_parser!(u16).range(1..))]
    pub(crate) tftp_port: u16,

    /// Longest time from the start of a bootstrap to the machine's first request
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub(crate) bootstrap_startup: u64,

    /// Longest bootstrap, from the machine's first request on
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = seconds())]
    pub(crate) bootstrap_timeout: u64,

    /// Most further boots of a machine that makes no request, in a bootstrap
    #[arg(long, value_name = "NUM", default_value_t = 2)]
    pub(crate) bootstrap_retries: u32,

    /// Longest time from the start of a build to the machine's first request
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = seconds())]
    pub(crate) build_startup: u64,

    /// Longest build, from the machine's first request on
    #[arg(long, value_name = "SECONDS", default_value_t = 5400, value_parser = seconds())]
    pub(crate) build_timeout: u64,

    /// Most further boots of a machine that makes no request, in a build
    #[arg(long, value_name = "NUM", default_value_t = 2)]
    pub(crate) build_retries: u32,

    /// Longest interactive build
    #[arg(long, alias = "intactive-timeout", value_name = "SECONDS", default_value_t = 10800)]
    #[arg(value_parser = seconds())]
    pub(crate) interactive_timeout: u64,

    /// Longest power-down after a bootstrap
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub(crate) shutdown_timeout: u64,

    /// Longest connection attempt to a controller
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub(crate) connect_timeout: u64,

    /// Longest request to a controller
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub(crate) request_timeout: u64,

    /// Ignored: a result is posted until its controller accepts it, see --outbox-days
    #[arg(long, value_name = "NUM", default_value_t = 4)]
    pub(crate) request_retries: u32,

    /// The openssl program
    #[arg(long, value_name = "PROGRAM", default_value = "openssl")]
    pub(crate) openssl: PathBuf,

    /// Option for openssl's commands, passed before the others; may repeat
    #[arg(long, value_name = "OPTION")]
    pub(crate) openssl_option: Vec<String>,

    /// The hypervisor program
    ///
    /// Default: qemu-system-x86_64, or kvm if only that exists.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) hypervisor: Option<PathBuf>,

    /// User that the hypervisor runs as
    ///
    /// Default: bbot-vm if that user exists, otherwise nobody.
    #[arg(long, value_name = "USER")]
    pub(crate) vm_user: Option<String>,

    /// Folder of sockets, console log and status
    ///
    /// Default: /run/bbot-agent/<toolchain>-<instance>
    #[arg(long, value_name = "DIR")]
    pub(crate) runtime_dir: Option<PathBuf>,

    /// Folder of results that wait for delivery, and of reports
    ///
    /// Default: /var/lib/bbot-agent/<toolchain>-<instance>
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Longest hold of a machine for inspection; 0 = without limit, none = never hold
    #[arg(long, value_name = "SECONDS", default_value = "86400")]
    pub(crate) hold_timeout: String,

    /// Days that a result is kept for a controller that cannot be reached
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    #[arg(value_parser = value_parser!(u32).range(1..=366))]
    pub(crate) outbox_days: u32,

    /// Size of waiting results from which on no task is requested
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 30)]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    pub(crate) outbox_limit: u64,

    /// Most bytes that a machine may upload in one task
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    #[arg(value_parser = value_parser!(u64).range(1..))]
    pub(crate) upload_limit: u64,

    /// Part of the space and of the inodes of each volume, in percent, that must be free for a task
    /// to be requested
    ///
    /// The volumes are those of --machines, --tftp and --state-dir.
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    #[arg(value_parser = value_parser!(u8).range(..=99))]
    pub(crate) min_free: u8,

    /// Memory pressure, in percent, over which no task is requested; 0 = no limit
    ///
    /// `some avg60` of /proc/pressure/memory.
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    #[arg(value_parser = value_parser!(u8).range(..=100))]
    pub(crate) memory_pressure_max: u8,

    /// I/O pressure, in percent, over which no task is requested; 0 = no limit
    ///
    /// `some avg60` of /proc/pressure/io.
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    #[arg(value_parser = value_parser!(u8).range(..=100))]
    pub(crate) io_pressure_max: u8,

    /// Diagnostics level, 0 to 6
    #[arg(long, value_name = "LEVEL", default_value_t = 1)]
    #[arg(value_parser = value_parser!(u8).range(..=6))]
    pub(crate) verbose: u8,

    /// Run as a systemd service: prefix diagnostics with their level, show the configuration
    #[arg(long)]
    pub(crate) systemd_daemon: bool,

    /// Print the machines that would be offered and exit
    #[arg(long)]
    pub(crate) dump_machines: bool,

    /// Print the received task and exit
    #[arg(long)]
    pub(crate) dump_task: bool,

    /// Print the result of the task and exit
    #[arg(long)]
    pub(crate) dump_result: bool,

    /// Print the state of this host as JSON and exit
    #[arg(long)]
    pub(crate) dump_status: bool,

    /// Do not run bootstraps, pretend that they succeeded
    #[arg(long)]
    pub(crate) fake_bootstrap: bool,

    /// Do not run builds, answer with abort
    #[arg(long)]
    pub(crate) fake_build: bool,

    /// Machine header manifest to use instead of the machines
    #[arg(long, value_name = "FILE")]
    pub(crate) fake_machine: Option<PathBuf>,

    /// Task manifest to use instead of requesting one
    #[arg(long, value_name = "FILE")]
    pub(crate) fake_request: Option<PathBuf>,

    /// Controllers: [<priority>=]<url>
    #[arg(value_name = "URL", trailing_var_arg = true)]
    pub(crate) urls: Vec<String>,
}

/// Why a command line is refused, in one line, unlike clap's own message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// Parses this process's command line; prints help or version if asked, and returns `None` then.
pub(crate) fn parse() -> Result<Option<Cli>, Refused> {
    match Cli::read(std::env::args_os()) {
        Ok(cli) => Ok(Some(cli)),
        Err(Stop::Refuse(refused)) => Err(refused),
        Err(Stop::Print(text)) => {
            // A closed standard output is no error.
            drop(io::stdout().write_all(text.as_bytes()));
            Ok(None)
        }
    }
}

/// Why the agent does not run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Help or version is to be printed.
    Print(String),
    /// The command line is refused.
    Refuse(Refused),
}

/// The headings of the options in the help.
const HEADINGS: [(&str, &[&str]); 7] = [
    (
        "Instance and toolchain",
        &[
            "toolchain_name",
            "toolchain_num",
            "toolchain_lock",
            "toolchain_ver",
            "toolchain_id",
            "worker_ver",
            "instance",
            "instance_max",
        ],
    ),
    ("Machines", &["cpu", "ram", "bridge", "machines", "tftp", "tftp_port", "upload_limit"]),
    (
        "Timeouts and retries",
        &[
            "bootstrap_startup",
            "bootstrap_timeout",
            "bootstrap_retries",
            "build_startup",
            "build_timeout",
            "build_retries",
            "interactive_timeout",
            "shutdown_timeout",
            "hold_timeout",
        ],
    ),
    (
        "Controllers",
        &[
            "interactive",
            "interactive_address",
            "auth_key",
            "trust",
            "connect_timeout",
            "request_timeout",
            "request_retries",
            "outbox_days",
            "outbox_limit",
        ],
    ),
    (
        "Host",
        &[
            "openssl",
            "openssl_option",
            "hypervisor",
            "vm_user",
            "runtime_dir",
            "state_dir",
            "min_free",
            "memory_pressure_max",
            "io_pressure_max",
        ],
    ),
    ("Diagnostics", &["verbose", "systemd_daemon"]),
    (
        "Inspection and testing",
        &[
            "dump_machines",
            "dump_task",
            "dump_result",
            "dump_status",
            "fake_bootstrap",
            "fake_build",
            "fake_machine",
            "fake_request",
        ],
    ),
];

/// Returns the definition of the command line.
pub fn definition() -> clap::Command {
    let heading = |id: &str| {
        let mut headings = HEADINGS.iter();
        headings.find_map(|(heading, ids)| ids.contains(&id).then_some(*heading))
    };
    Cli::command().mut_args(|arg| {
        let heading = heading(arg.get_id().as_str());
        arg.help_heading(heading)
    })
}

impl Cli {
    /// Parses the arguments, the program's name first.
    ///
    /// As in the original agent, an option takes the following argument as its value even if that
    /// begins with a hyphen, of repeated options the last one counts, and the first argument that
    /// is not an option ends the options.
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let command = definition().mut_args(|arg| {
            let is_option = !arg.is_positional() && arg.get_action().takes_values();
            arg.allow_hyphen_values(is_option)
        });
        let mut matches = command.try_get_matches_from(args).map_err(|error| stop(&error))?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| stop(&error))
    }
}

fn seconds() -> clap::builder::RangedU64ValueParser<u64> {
    value_parser!(u64).range(1..=SECONDS_MAX)
}

/// Turns an error of clap, several lines, into one line.
fn stop(error: &clap::Error) -> Stop {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Stop::Print(error.to_string());
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).map(|text| text.trim_end_matches("..."));
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let cause = std::error::Error::source(error).map(ToString::to_string);
    Stop::Refuse(Refused(match (error.kind(), argument, cause) {
        (ErrorKind::UnknownArgument, Some(argument), _) => {
            format!("unknown option {}", quoted(argument))
        }
        (ErrorKind::InvalidValue, Some(argument), _) if value.is_empty() => {
            format!("option '{argument}' needs a value")
        }
        (ErrorKind::ValueValidation, Some(argument), Some(cause)) => {
            format!("invalid value {} of option '{argument}': {cause}", quoted(value))
        }
        _ => {
            let page = error.to_string();
            let line = page.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Cli, Stop> {
        let args = ["bbot-agent"].iter().chain(args);
        Cli::read(args.map(|&arg| OsString::from(arg)))
    }

    #[track_caller]
    fn check_refused(args: &[&str], line: &str) {
        assert_eq!(read(args).unwrap_err(), Stop::Refuse(Refused(line.to_owned())), "{args:?}");
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    /// W1: one line that names the option and the value.
    #[test]
    fn refuses_a_bad_option_in_one_line() {
        check_refused(&["--foo", "https://a"], "unknown option '--foo'");
        check_refused(&["--foo=1"], "unknown option '--foo'");
        check_refused(&["-x"], "unknown option '-x'");
        check_refused(&["--cpu"], "option '--cpu <NUM>' needs a value");
        let range = |value: &str, argument: &str, range: &str| {
            format!("invalid value '{value}' of option '{argument}': {value} is not in {range}")
        };
        check_refused(&["--verbose", "7"], &range("7", "--verbose <LEVEL>", "0..=6"));
        check_refused(&["--instance=0"], &range("0", "--instance <NUM>", "1..=99"));
        check_refused(&["--instance", "100"], &range("100", "--instance <NUM>", "1..=99"));
        check_refused(&["--toolchain-num", "0"], &range("0", "--toolchain-num <NUM>", "1..=99"));
        check_refused(&["--toolchain-num=100"], &range("100", "--toolchain-num <NUM>", "1..=99"));
        check_refused(&["--cpu", "0"], &range("0", "--cpu <NUM>", "1..=4096"));
        check_refused(
            &["--build-timeout", "0"],
            &range("0", "--build-timeout <SECONDS>", "1..=31622400"),
        );
        check_refused(
            &["--intactive-timeout", "0"],
            &range("0", "--interactive-timeout <SECONDS>", "1..=31622400"),
        );
        check_refused(&["--cpu", "-1"], &range("-1", "--cpu <NUM>", "1..=4096"));
        let digit = "invalid digit found in string";
        for value in ["--ram", "x", "1\n2"] {
            let shown = value.escape_debug();
            check_refused(
                &["--cpu", value],
                &format!("invalid value '{shown}' of option '--cpu <NUM>': {digit}"),
            );
        }
        check_refused(
            &["--interactive-address", "host"],
            "invalid value 'host' of option '--interactive-address <ADDRESS>': \
             invalid IP address syntax",
        );
        check_refused(
            &["--systemd-daemon=yes"],
            "unexpected value 'yes' for '--systemd-daemon' found; no more were expected",
        );
    }

    #[test]
    fn options_stop_at_the_first_url() {
        let cli = read(&["--cpu", "2", "https://a/", "--cpu", "3", "-x", "0100=http://b"]).unwrap();
        assert_eq!(cli.cpu, 2);
        assert_eq!(cli.urls, ["https://a/", "--cpu", "3", "-x", "0100=http://b"]);
    }

    #[test]
    fn an_option_takes_the_next_argument_even_with_a_hyphen() {
        let cli = read(&["--openssl-option", "-engine", "--openssl-option=pkcs11"]).unwrap();
        assert_eq!(cli.openssl_option, ["-engine", "pkcs11"]);
    }

    #[test]
    fn the_last_of_repeated_options_counts() {
        let cli = read(&["--ram", "2048", "--ram=4096"]).unwrap();
        assert_eq!(cli.ram, 4096);
    }

    #[test]
    fn a_lock_may_be_empty() {
        for args in [&["--toolchain-lock", ""][..], &["--toolchain-lock="]] {
            assert_eq!(read(args).unwrap().toolchain_lock.unwrap(), "");
        }
    }

    #[test]
    fn both_names_of_the_interactive_timeout_are_known() {
        assert_eq!(read(&["--intactive-timeout", "5"]).unwrap().interactive_timeout, 5);
        assert_eq!(read(&["--interactive-timeout", "6"]).unwrap().interactive_timeout, 6);
    }

    #[test]
    fn version_is_that_of_the_original_agent() {
        let Err(Stop::Print(text)) = read(&["--version"]) else { panic!("no version") };
        let ours = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text,
            format!(
                "bbot-agent 0.16.0 (bbot-rs {ours})\nlibbbot 0.16.0\nlibbpkg 0.16.0\n\
                 libbutl 0.16.0\nCopyright (c) 2026 the bbot-rs developers.\n\
                 This is free software released under the MIT license.\n"
            )
        );
    }

    /// Every option has a heading, and every heading is that of an existing option.
    #[test]
    fn every_option_has_a_heading() {
        let definition = definition();
        let options = || definition.get_arguments().filter(|arg| !arg.is_positional());
        for arg in options() {
            assert!(arg.get_help_heading().is_some(), "{}", arg.get_id());
        }
        let count: usize = HEADINGS.iter().map(|(_, ids)| ids.len()).sum();
        assert_eq!(count, options().count());
    }

    /// The manual page, generated from the same definition, contains each option.
    #[test]
    fn the_manual_lists_every_option() {
        let mut page = Vec::new();
        clap_mangen::Man::new(definition()).render(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap().replace("\\-", "-").replace("\\fR", "");
        for arg in definition().get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("\\fB--{arg}")), "{arg} in\n{page}");
        }
        for heading in HEADINGS.map(|(heading, _)| heading.to_uppercase()) {
            assert!(page.contains(&heading), "{heading} in\n{page}");
        }
    }
}
