//! Looks at manifests, and converts them to JSON and back.
//!
//! ```text
//! manifest parse [FILE...]      prints what the parser sees: positions, names, values
//! manifest check [FILE...]      prints errors as FILE:LINE:COLUMN: MESSAGE, with the line
//! manifest json [FILE...]       prints a JSON list of manifests, each a list of [name, value]
//! manifest serialize [--long] [FILE...]   turns such JSON into manifests
//! ```
//!
//! Without files, and for `-`, it reads the standard input. It exits with 1 if anything is wrong.

use std::fs;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use bbot_manifest::{Error, Event, Lines, Parser, Position, to_string_with};

/// What to do with a file: takes its name and content, and returns what to print.
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

/// Prints to the standard error; the code says that something is wrong.
fn report(message: &str) -> ExitCode {
    // Nobody is left to tell if this cannot be written.
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
            // The reader has seen enough.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(e) => report(&format!("stdout: {e}\n")),
        },
        Err(message) => report(&message),
    }
}

fn parse(name: &str, text: &[u8]) -> Result<String, String> {
    let mut output = String::new();
    for event in Parser::new(text).with_name(name) {
        let line = match event.map_err(|e| explain(name, text, &e))? {
            Event::Start { name_at, .. } => format!("{name_at} start"),
            Event::Pair(pair) => {
                format!("{} {} = {} {:?}", pair.name_at, pair.name, pair.value_at, pair.value)
            }
            Event::End { at } => format!("{at} end"),
            Event::EndOfStream { at } => format!("{at} end of stream"),
        };
        output += &line;
        output.push('\n');
    }
    Ok(output)
}

fn check(name: &str, text: &[u8]) -> Result<String, String> {
    match Parser::new(text).with_name(name).find_map(Result::err) {
        None => Ok(String::new()),
        Some(error) => Err(explain(name, text, &error)),
    }
}

fn json(name: &str, text: &[u8]) -> Result<String, String> {
    let mut manifests: Vec<Vec<(String, String)>> = Vec::new();
    for event in Parser::new(text).with_name(name) {
        match event.map_err(|e| explain(name, text, &e))? {
            Event::Start { .. } => manifests.push(Vec::new()),
            Event::Pair(pair) => {
                let pair = (pair.name.to_owned(), pair.value.into_owned());
                manifests.last_mut().expect("a pair follows a start").push(pair);
            }
            Event::End { .. } | Event::EndOfStream { .. } => {}
        }
    }
    let output = serde_json::to_string_pretty(&manifests).map_err(|e| format!("{name}: {e}\n"))?;
    Ok(output + "\n")
}

fn serialize(name: &str, text: &[u8]) -> Result<String, String> {
    write(name, text, Lines::Wrapped)
}

fn serialize_long(name: &str, text: &[u8]) -> Result<String, String> {
    write(name, text, Lines::Long)
}

fn write(name: &str, text: &[u8], lines: Lines) -> Result<String, String> {
    let manifests: Vec<Vec<(String, String)>> =
        serde_json::from_slice(text).map_err(|e| format!("{name}: {e}\n"))?;
    let manifests: Vec<_> = manifests.iter().map(|pairs| Pairs(pairs)).collect();
    to_string_with(&manifests, lines).map_err(|e| format!("{name}: {}\n", e.message()))
}

/// A manifest as serde sees it: a map whose names may be there several times.
struct Pairs<'a>(&'a [(String, String)]);

impl serde::Serialize for Pairs<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Returns the error with the line that it is in, and a mark below the place.
fn explain(name: &str, text: &[u8], error: &Error) -> String {
    let Some(Position { line, column }) = error.position() else {
        return format!("{name}: {}\n", error.message());
    };
    let shown = String::from_utf8_lossy(nth_line(text, line)).into_owned();
    let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let shown: String = shown.chars().map(visible).collect();
    let before = usize::try_from(column - 1).unwrap_or(usize::MAX);
    // Tabs stay tabs, so that the mark stands below its character.
    let indent: String =
        shown.chars().take(before).map(|c| if c == '\t' { c } else { ' ' }).collect();
    format!("{name}:{line}:{column}: {}\n{shown}\n{indent}^\n", error.message())
}

/// Returns a line, counted as the parser does.
fn nth_line(text: &[u8], number: u64) -> &[u8] {
    let mut rest = text;
    for _ in 1..number {
        let Some(end) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else { return &[] };
        let run = rest[end..].iter().take_while(|&&b| b == b'\r').count();
        rest = &rest[end + run..];
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    rest.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default()
}
