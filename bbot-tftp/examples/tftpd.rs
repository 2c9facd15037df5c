//! A TFTP server for one folder.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints its messages")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bbot_tftp::{Namespace, Offload, Rollover, Server, ServerConfig, WritePolicy};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

const USAGE: &str = "\
usage: tftpd --listen ADDR:PORT --root DIR [--write refuse|create|overwrite] [--single-port]
             [--max-blksize N] [--max-window N] [--fragments] [--rollover 0|1] [--no-backslashes]
             [--drain SECONDS] [--no-offload] [--no-spin] [--verbose]";

struct Settings {
    listen: SocketAddr,
    root: PathBuf,
    policy: WritePolicy,
    config: ServerConfig,
    /// The time that downloads have to finish when the program is told to end.
    drain: Duration,
    verbose: bool,
}

fn main() -> ExitCode {
    let result = parse(std::env::args_os().skip(1)).and_then(serve);
    if let Err(message) = result {
        eprintln!("tftpd: {message}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn serve(settings: Settings) -> Result<(), String> {
    raise_descriptor_limit();
    // Threads that are started later inherit the mask.
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block().map_err(|e| format!("cannot block signals: {e}"))?;
    let Settings { listen, root, policy, config, drain, verbose } = settings;
    let namespace = Namespace::new().read(&root).write(&root).policy(policy);
    let describe = |error: &dyn std::error::Error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let server = Server::bind(listen, namespace, config).map_err(|e| describe(&e))?;
    let address = server.local_addr();
    let report = move |event| {
        if verbose {
            eprintln!("tftpd: {event:?}");
        }
    };
    let running = server.spawn(report).map_err(|e| describe(&e))?;
    println!("listening on {address}");
    signals.wait().map_err(|e| format!("cannot wait for signals: {e}"))?;
    // A second signal ends the process at once.
    signals.thread_unblock().map_err(|e| format!("cannot unblock signals: {e}"))?;
    running.drain(drain);
    Ok(())
}

/// Each transfer needs up to four descriptors.
fn raise_descriptor_limit() {
    // The default limit is enough for a few hundred transfers.
    let _ = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Settings, String> {
    let mut listen = None;
    let mut root = None;
    let mut policy = WritePolicy::Refuse;
    let mut config = ServerConfig::default().with_backslashes(true);
    let mut drain = Duration::ZERO;
    let mut verbose = false;
    while let Some(argument) = arguments.next() {
        let name = argument.to_string_lossy().into_owned();
        let mut value = || arguments.next().ok_or_else(|| format!("{name} wants a value\n{USAGE}"));
        match name.as_str() {
            "--listen" => listen = Some(number(&name, &value()?)?),
            "--root" => root = Some(PathBuf::from(value()?)),
            "--write" => policy = write_policy(&value()?)?,
            "--single-port" => config.single_port = true,
            "--max-blksize" => config.max_block_size = number(&name, &value()?)?,
            "--max-window" => config.max_window_size = number(&name, &value()?)?,
            "--fragments" => config.fragments = true,
            "--rollover" => config.rollover = rollover(&value()?)?,
            "--no-backslashes" => config.backslashes = false,
            "--drain" => drain = Duration::from_secs(number(&name, &value()?)?),
            "--no-offload" => config.offload = Offload::NONE,
            "--no-spin" => config.spin = Duration::ZERO,
            "--verbose" => verbose = true,
            _ => return Err(format!("unknown argument {name}\n{USAGE}")),
        }
    }
    let listen = listen.ok_or_else(|| format!("--listen is missing\n{USAGE}"))?;
    let root = root.ok_or_else(|| format!("--root is missing\n{USAGE}"))?;
    Ok(Settings { listen, root, policy, config, drain, verbose })
}

fn number<T: std::str::FromStr>(name: &str, value: &OsString) -> Result<T, String> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("{name}: invalid value {}", value.display()))
}

fn rollover(value: &OsString) -> Result<Rollover, String> {
    match value.to_str() {
        Some("0") => Ok(Rollover::Zero),
        Some("1") => Ok(Rollover::One),
        _ => Err(format!("--rollover: invalid value {}", value.display())),
    }
}

fn write_policy(value: &OsString) -> Result<WritePolicy, String> {
    match value.to_str() {
        Some("refuse") => Ok(WritePolicy::Refuse),
        Some("create") => Ok(WritePolicy::Create),
        Some("overwrite") => Ok(WritePolicy::Overwrite),
        _ => Err(format!("--write: invalid value {}", value.display())),
    }
}
