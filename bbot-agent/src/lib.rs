//! The build agent: one process is one instance.
//!
//! It recovers what a dead predecessor left, enumerates the machines of the host, asks controllers
//! for a task, performs it in a throw-away snapshot of a machine, reports, and starts over.
//!
//! What it does is written down as rules (W1 ... W70) in `docs/rules.md`, with the decisions behind
//! them (`docs/decisions.md`), the protocols that it follows (`docs/controller-protocol.md`,
//! `docs/tftp-contract.md`, `docs/machine-storage.md`) and its options (`docs/command-line.md`).
//!
//! This library exists for the project's own programs, tests and tools. Nothing of its interface is
//! stable.
//!
//! Modules import only from those that stand before them here:
//!
//! * `diag`, `output`, `fs`, `subprocess`, `cli`: messages, standard output, files, child
//!   processes, the syntax of the command line;
//! * `schedule`, `config`: decisions about asking and interrupting, pure; the configuration;
//! * `machines`, `outbox`, `controller`: the machines of the host, results on disk, the protocol
//!   of controllers;
//! * `observe`, `reports`: the status for operators and the service manager, the delivery of the
//!   outbox;
//! * `event_loop`: what wakes the instance, and what it does in the background of its waits;
//! * `guest`: one guest, from its boot to its end, for bootstraps and builds;
//! * `bootstrap`, `ask`, `task`: making a machine ready, getting a task, performing it;
//! * `recovery`, `agent`, `work_loop`, `start`, `stop`: one instance, from its start to its end.

mod agent;
mod ask;
mod blocked;
mod bootstrap;
pub mod cli;
mod config;
mod controller;
mod diag;
mod event_loop;
mod fs;
mod guest;
mod host;
mod machines;
mod observe;
mod outbox;
mod output;
mod recovery;
mod reports;
mod schedule;
mod start;
mod stop;
mod storable;
mod subprocess;
mod task;
mod work_loop;

use std::process::ExitCode;

/// Runs the agent by the command line of this process, and returns its exit code.
pub fn run() -> ExitCode {
    let ran = run_command_line();
    // A child process that still runs would outlive this one.
    subprocess::kill_all();
    if let Err(error) = ran {
        diag::error(format_args!("{error:#}"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run_command_line() -> anyhow::Result<()> {
    let Some(cli) = cli::parse()? else { return Ok(()) };
    diag::init(cli.verbose, cli.systemd_daemon);
    if cli.dump_status {
        return observe::host_status::dump(&cli);
    }
    let config = config::Config::from_cli(cli)?;
    stop::run(|channel| {
        let mut started = start::start(config, channel)?;
        work_loop::work(&mut started.agent)
    })
}
