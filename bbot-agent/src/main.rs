//! The build agent: one process is one instance.
//!
//! It recovers what a dead predecessor left, enumerates the machines of the host, asks controllers
//! for a task, performs it in a throw-away snapshot of a machine, reports, and starts over.

mod agent;
mod ask;
mod cli;
mod config;
mod controller;
mod diag;
mod event;
mod held;
mod interrupt;
mod look;
mod machines;
mod outbox;
mod output;
mod poster;
mod recovery;
mod reports;
mod runtime_dir;
mod schedule;
mod spawn;
mod start;
mod status;
mod stop;
mod systemd;
mod task;
mod tftp_folder;
mod work_loop;

use std::process::ExitCode;

fn main() -> ExitCode {
    let ran = run();
    // What still runs would outlive us.
    spawn::kill_all();
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            diag::error(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Some(cli) = cli::parse()? else { return Ok(()) };
    diag::init(cli.verbose, cli.systemd_daemon);
    if cli.dump_status {
        return look::dump(&cli);
    }
    let config = config::Config::from_cli(cli)?;
    stop::run(|events| {
        let mut start = start::start(config, events)?;
        work_loop::work(&mut start.agent)
    })
}
