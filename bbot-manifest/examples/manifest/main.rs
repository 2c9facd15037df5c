//! Prints and checks manifests, and converts them to JSON and back.
//!
//! ```text
//! manifest parse [FILE...]      prints the events of the parser: positions, names, values
//! manifest check [FILE...]      prints errors as FILE:LINE:COLUMN: MESSAGE, with the line
//! manifest json [FILE...]       prints a JSON list of manifests, each a list of [name, value]
//! manifest serialize [--long] [FILE...]   turns such JSON into manifests
//! ```
//!
//! Without files, and for `-`, it reads the standard input. It exits with 1 after an error.

mod commands;

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use commands::{check, json, parse, serialize, serialize_long};

/// A command: takes the name and content of a file, and returns what to print.
type Command = fn(&str, &[u8]) -> Result<String, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, files) = match arguments.split_first() {
        Some((command, files)) => (command.as_str(), files),
        None => ("", &[] as &[String]),
    };
    let (run, files): (Command, _) = match (command, files) {
        ("parse", files) => (parse, files),
        ("check", files) => (check, files),
        ("json", files) => (json, files),
        ("serialize", [long, files @ ..]) if long == "--long" => (serialize_long, files),
        ("serialize", files) => (serialize, files),
        _ => return report("usage: manifest parse|check|json|serialize [--long] [FILE...]\n"),
    };
    let stdin = ["-".to_owned()];
    let files = if files.is_empty() { &stdin } else { files };
    files
        .iter()
        .map(|file| run_file(run, file))
        .fold(ExitCode::SUCCESS, |all, one| if one == ExitCode::SUCCESS { all } else { one })
}

/// Prints to the standard error, and returns the code of a failure.
fn report(message: &str) -> ExitCode {
    // There is no other place for the message.
    io::stderr().write_all(message.as_bytes()).unwrap_or_default();
    ExitCode::FAILURE
}

fn run_file(run: Command, file: &str) -> ExitCode {
    let (name, content) = match file {
        "-" => {
            let mut content = Vec::new();
            ("stdin", io::stdin().lock().read_to_end(&mut content).map(|_| content))
        }
        file => (file, fs::read(file)),
    };
    let output = content.map_err(|e| format!("{name}: {e}\n")).and_then(|text| run(name, &text));
    match output {
        Ok(output) => match io::stdout().lock().write_all(output.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            // The reader has closed the pipe, for example `head`.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(e) => report(&format!("stdout: {e}\n")),
        },
        Err(message) => report(&message),
    }
}
