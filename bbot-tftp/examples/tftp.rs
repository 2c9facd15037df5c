//! Gets a file from a TFTP server, or puts one there.

#![allow(clippy::print_stderr, reason = "a program prints its messages")]

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Error, ErrorKind, IsTerminal, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::str::FromStr;

use bbot_tftp::{AtomicFile, Client, ClientError, Offload, Progress, Rollover, TransferSummary};

const USAGE: &str = "\
usage: tftp get|put HOST:PORT NAME FILE [--blksize N] [--window N] [--timeout SECONDS]
            [--tsize] [--rollover 0|1] [--no-offload] [--quiet]";

enum Command {
    Get,
    Put,
}

struct Settings {
    command: Command,
    server: SocketAddr,
    name: String,
    file: OsString,
    client: Client,
    quiet: bool,
}

fn main() -> ExitCode {
    let result = parse(std::env::args_os().skip(1).collect()).and_then(|s| run(&s));
    if let Err(message) = result {
        eprintln!("tftp: {message}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(settings: &Settings) -> Result<(), String> {
    let Settings { command, server, name, file, client, quiet } = settings;
    let cannot = |verb: &str, e: Error| format!("cannot {verb} {}: {}", file.display(), cause(&e));
    let mut bar = Bar { enabled: !quiet && std::io::stderr().is_terminal(), shown: None };
    let progress = |progress| bar.show(progress);
    let result = match command {
        Command::Get => {
            let file = AtomicFile::create(file).map_err(|e| cannot("create", e))?;
            let mut file = BufWriter::with_capacity(1 << 20, file);
            let result = client.get_with_progress(name, &mut file, progress);
            // What is left in the buffer of a failed transfer is not wanted.
            let (file, _) = file.into_parts();
            result.and_then(|summary| file.commit().map_err(ClientError::File).map(|()| summary))
        }
        Command::Put => {
            let mut content = Vec::new();
            let mut file = File::open(file).map_err(|e| cannot("open", e))?;
            file.read_to_end(&mut content).map_err(|e| cannot("read", e))?;
            client.put_with_progress(name, &content, progress)
        }
    };
    bar.clear();
    let verb = if matches!(command, Command::Get) { "write" } else { "read" };
    let summary = result.map_err(|error| match error {
        ClientError::File(error) => cannot(verb, error),
        ClientError::Socket(error) => format!("{server}: cannot use a UDP socket: {error}"),
        error => format!("{server}: {name}: {error}"),
    })?;
    if !quiet {
        report(&summary);
    }
    Ok(())
}

fn cause(error: &Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("disk full: {error}"),
        _ => error.to_string(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "the rate is rounded anyway")]
fn report(summary: &TransferSummary) {
    let seconds = summary.duration.as_secs_f64().max(1e-9);
    eprintln!(
        "{} bytes in {seconds:.3} s, {:.1} MB/s, {} packets sent again",
        summary.bytes,
        summary.bytes as f64 / seconds / 1e6,
        summary.retransmits
    );
}

/// A progress bar on a terminal; where the size is not known, the number of MiB.
struct Bar {
    enabled: bool,
    /// The percentage or the MiB that were shown last.
    shown: Option<u64>,
}

impl Bar {
    fn show(&mut self, progress: Progress) {
        let size = progress.size.filter(|size| *size > 0);
        // A server may send more bytes than the size that it has reported.
        let percent = |size: u64| (progress.bytes.saturating_mul(100) / size).min(100);
        let step = size.map_or(progress.bytes >> 20, percent);
        if !self.enabled || self.shown.is_some_and(|shown| step <= shown) {
            return;
        }
        self.shown = Some(step);
        if size.is_some() {
            let filled = usize::try_from(step / 2).unwrap_or(0);
            eprint!("\r[{:<50}] {step:3} %", "#".repeat(filled));
        } else {
            eprint!("\r{step} MiB");
        }
    }

    /// Clears the line for the next message.
    fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Settings, String> {
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().ok_or_else(|| USAGE.to_owned());
    let command = match next()?.to_str() {
        Some("get") => Command::Get,
        Some("put") => Command::Put,
        _ => return Err(USAGE.to_owned()),
    };
    let server = text(next()?)?;
    let name = text(next()?)?;
    let file = next()?;
    let addresses = server.to_socket_addrs().map_err(|e| format!("{server}: {e}"))?;
    let server = addresses.into_iter().next().ok_or_else(|| format!("{server}: no address"))?;
    let mut client = Client::new(server);
    let mut quiet = false;
    while let Some(option) = arguments.next() {
        let option = text(option)?;
        let mut value = || {
            let value = arguments.next().ok_or_else(|| format!("{option} wants a value"))?;
            text(value)
        };
        client = match option.as_str() {
            "--blksize" => client.block_size(number(&option, &value()?)?),
            "--window" => client.window_size(number(&option, &value()?)?),
            "--timeout" => client.timeout(number(&option, &value()?)?),
            "--tsize" => client.transfer_size(),
            "--rollover" => client.rollover(rollover(&value()?)?),
            "--no-offload" => client.offload(Offload::NONE),
            "--quiet" => {
                quiet = true;
                client
            }
            _ => return Err(format!("unknown argument {option}\n{USAGE}")),
        };
    }
    Ok(Settings { command, server, name, file, client, quiet })
}

fn rollover(value: &str) -> Result<Rollover, String> {
    match value {
        "0" => Ok(Rollover::Zero),
        "1" => Ok(Rollover::One),
        _ => Err(format!("--rollover: invalid value {value}")),
    }
}

fn number<T: FromStr<Err: Display>>(option: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|e| format!("{option}: {e}"))
}

fn text(argument: OsString) -> Result<String, String> {
    argument.into_string().map_err(|raw| format!("not UTF-8: {}", raw.display()))
}
