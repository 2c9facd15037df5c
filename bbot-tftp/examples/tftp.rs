//! Gets a file from a TFTP server, or puts one there.

#![allow(clippy::print_stdout, clippy::print_stderr)] // A program speaks to its user.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use bbot_tftp::{Client, Offload, Transferred};

const USAGE: &str = "\
usage: tftp get|put HOST:PORT NAME FILE [--blksize N] [--window N] [--timeout SECONDS]
            [--tsize] [--no-offload] [--quiet]";

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
    let cannot = |what: &str, e: std::io::Error| format!("cannot {what} {}: {e}", file.display());
    let mut bar = Bar { wanted: !quiet && std::io::stderr().is_terminal(), shown: None };
    let mut progress = |done, size| bar.show(done, size);
    let done = match command {
        Command::Get => {
            let file = File::create(file).map_err(|e| cannot("create", e))?;
            let mut file = BufWriter::with_capacity(1 << 20, file);
            client.get_with(name, &mut file, &mut progress)
        }
        Command::Put => {
            let mut content = Vec::new();
            let mut file = File::open(file).map_err(|e| cannot("open", e))?;
            file.read_to_end(&mut content).map_err(|e| cannot("read", e))?;
            client.put_with(name, &content, &mut progress)
        }
    };
    bar.clear();
    let done = done.map_err(|error| format!("{server}: {name}: {error}"))?;
    if !quiet {
        report(&done);
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // A rate for a human.
fn report(done: &Transferred) {
    let seconds = done.duration.as_secs_f64().max(1e-9);
    eprintln!(
        "{} bytes in {seconds:.3} s, {:.1} MB/s, {} packets sent again",
        done.bytes,
        done.bytes as f64 / seconds / 1e6,
        done.retransmits
    );
}

/// A bar on a terminal; where the size is not known, the bytes.
struct Bar {
    wanted: bool,
    /// The percentage or the MiB that are shown.
    shown: Option<u64>,
}

impl Bar {
    fn show(&mut self, done: u64, size: Option<u64>) {
        let size = size.filter(|size| *size > 0);
        // A server may say that a file is shorter than what it then sends.
        let step = size.map_or(done >> 20, |size| (done.saturating_mul(100) / size).min(100));
        if !self.wanted || self.shown.is_some_and(|shown| step <= shown) {
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

    /// Leaves the line to what is said next.
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
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{option} wants a value"))?;
            text(value)?.parse::<u16>().map_err(|e| format!("{option}: {e}"))
        };
        client = match option.as_str() {
            "--blksize" => client.block_size(number()?),
            "--window" => client.window_size(number()?),
            "--timeout" => client.timeout(u8::try_from(number()?).map_err(|e| e.to_string())?),
            "--tsize" => client.transfer_size(),
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

fn text(argument: OsString) -> Result<String, String> {
    argument.into_string().map_err(|raw| format!("not UTF-8: {}", raw.display()))
}
