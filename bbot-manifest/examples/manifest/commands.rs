//! The commands: each takes the name and content of a file, and returns what to print.

use bbot_manifest::{Error, Event, Lines, Parser, Position, Serializer};

/// Prints the events of the parser.
pub(crate) fn parse(name: &str, text: &[u8]) -> Result<String, String> {
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

/// Prints nothing, or the error.
pub(crate) fn check(name: &str, text: &[u8]) -> Result<String, String> {
    match Parser::new(text).with_name(name).find_map(Result::err) {
        None => Ok(String::new()),
        Some(error) => Err(explain(name, text, &error)),
    }
}

/// Converts manifests to JSON.
pub(crate) fn json(name: &str, text: &[u8]) -> Result<String, String> {
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

/// Converts JSON to manifests with lines of ordinary length.
pub(crate) fn serialize(name: &str, text: &[u8]) -> Result<String, String> {
    write(name, text, Lines::Wrapped)
}

/// Converts JSON to manifests with long lines.
pub(crate) fn serialize_long(name: &str, text: &[u8]) -> Result<String, String> {
    write(name, text, Lines::Long)
}

fn write(name: &str, text: &[u8], lines: Lines) -> Result<String, String> {
    let manifests: Vec<Vec<(String, String)>> =
        serde_json::from_slice(text).map_err(|e| format!("{name}: {e}\n"))?;
    if manifests.iter().flatten().any(|(name, _)| name.is_empty()) {
        return Err(format!("{name}: value without a name\n"));
    }
    let text = write_pairs(&manifests, lines);
    text.map_err(|error| format!("{name}: {}\n", error.message()))
}

fn write_pairs(manifests: &[Vec<(String, String)>], lines: Lines) -> Result<String, Error> {
    let mut serializer = Serializer::new(Vec::new(), lines);
    for manifest in manifests {
        serializer.start()?;
        for (name, value) in manifest {
            serializer.pair(name, value)?;
        }
    }
    let text = serializer.finish()?;
    Ok(String::from_utf8(text).expect("the serializer writes UTF-8"))
}

/// Returns the error with its line and a mark below its position.
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
