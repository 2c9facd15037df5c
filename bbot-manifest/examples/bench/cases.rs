//! The cases that are measured.

use std::hint::black_box;
use std::io::BufReader;
use std::rc::Rc;
use std::time::Duration;

use bbot_manifest::{
    Event, Lines, Manifest, PackageName, Parser, ResultManifest, Serializer, StreamParser,
};
use serde::Deserialize;

use crate::clock::CpuInstant;
use crate::inputs::Input;

/// A measurement.
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) mb_per_s: f64,
    pub(crate) of_limit: f64,
}

/// A manifest of the input with small ones.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Package<'a> {
    name: PackageName,
    version: &'a str,
    project: &'a str,
    summary: &'a str,
    license: &'a str,
    topics: &'a str,
    url: &'a str,
    email: &'a str,
    #[serde(borrow)]
    depends: Vec<&'a str>,
    #[serde(borrow)]
    requires: Vec<&'a str>,
    location: Option<&'a str>,
    sha256sum: &'a str,
}

impl Package<'_> {
    /// Returns a number that depends on all values.
    fn length(&self) -> usize {
        let lists = self.depends.iter().chain(&self.requires).map(|value| value.len());
        let texts = [self.version, self.project, self.summary, self.license, self.topics, self.url]
            .into_iter()
            .chain([self.email, self.location.unwrap_or_default(), self.sha256sum]);
        self.name.as_str().len() + lists.sum::<usize>() + texts.map(str::len).sum::<usize>()
    }
}

type Case<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Returns the events of an input.
fn events(input: &Input) -> Vec<Event<'_>> {
    Parser::new(&input.bytes).collect::<Result<_, _>>().expect("the input is a manifest")
}

/// Returns all cases on an input; the limit first.
fn cases<'a>(input: &'a Input, events: &'a [Event<'a>]) -> Vec<Case<'a>> {
    let pairs: Rc<[(&str, &str)]> = events.iter().map(pair).collect();
    let bytes = &input.bytes;
    vec![
        ("limit", Box::new(|| limit(bytes))),
        ("from_utf8", Box::new(|| assert!(black_box(std::str::from_utf8(bytes)).is_ok()))),
        ("parse", Box::new(|| parse(bytes))),
        ("parse-typed", Box::new(|| parse_typed(input))),
        ("stream", Box::new(|| stream(bytes))),
        ("serialize-long", serialize(Rc::clone(&pairs), Lines::Long, bytes.len())),
        ("serialize-short", serialize(pairs, Lines::Wrapped, bytes.len())),
    ]
}

/// Runs a case once, if it is one of this input.
pub(crate) fn run_once(input: &Input, wanted: &str) -> bool {
    let events = events(input);
    let mut cases = cases(input, &events);
    let case = cases.iter_mut().find(|(name, _)| wanted == format!("{name}/{}", input.name));
    case.map(|(_, case)| case()).is_some()
}

/// Measures all cases on an input, or only the requested one, and the limit.
pub(crate) fn measure(input: &Input, rounds: usize, only: Option<&str>) -> Vec<Row> {
    let events = events(input);
    let bytes = &input.bytes;
    let mut cases = cases(input, &events);
    let wanted = |name: &str| only.is_none_or(|only| only == format!("{name}/{}", input.name));
    if !cases.iter().any(|(name, _)| wanted(name)) {
        return Vec::new();
    }
    cases.retain(|(name, _)| *name == "limit" || wanted(name));
    // A measurement takes at least some milliseconds, so that other processes affect it less.
    let repeats = u32::try_from((64 << 20) / bytes.len()).unwrap_or(1).max(1);
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    for _ in 0..=rounds {
        for ((_, case), times) in cases.iter_mut().zip(&mut times) {
            let start = CpuInstant::now();
            (0..repeats).for_each(|_| case());
            times.push(start.elapsed() / repeats);
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(|times| median(&times[1..])).collect();
    let names = cases.iter().map(|(name, _)| name);
    names.zip(&medians).map(|(name, time)| row(name, input, *time, medians[0])).collect()
}

fn row(case: &str, input: &Input, time: Duration, limit: Duration) -> Row {
    let case = format!("{case}/{}", input.name);
    let bytes = u32::try_from(input.bytes.len()).map_or(f64::INFINITY, f64::from);
    let mb_per_s = bytes / 1e6 / time.as_secs_f64();
    Row { case, mb_per_s, of_limit: limit.as_secs_f64() / time.as_secs_f64() }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

/// The limit for a reader of lines of UTF-8.
fn limit(bytes: &[u8]) {
    let mut sum = 0;
    for newline in memchr::memchr_iter(b'\n', bytes) {
        sum ^= black_box(newline);
    }
    black_box((sum, std::str::from_utf8(bytes).is_ok()));
}

fn parse(bytes: &[u8]) {
    for event in Parser::new(bytes) {
        black_box(&event.expect("the input is a manifest"));
    }
}

fn stream(bytes: &[u8]) {
    let mut parser = StreamParser::new(BufReader::with_capacity(64 << 10, bytes));
    while let Some(event) = parser.next_event().expect("the input is a manifest") {
        black_box(&event);
    }
}

fn parse_typed(input: &Input) {
    if input.name == "logs" {
        let result = ResultManifest::parse(&input.bytes, "logs").expect("the input is a result");
        black_box(&result);
        return;
    }
    let list: Vec<Package<'_>> = bbot_manifest::from_slice(&input.bytes).expect("packages");
    black_box(list.iter().map(Package::length).sum::<usize>());
}

/// Returns the pair that writes an event.
fn pair<'a>(event: &'a Event<'a>) -> (&'a str, &'a str) {
    match event {
        Event::Start { .. } => ("", "1"),
        Event::Pair(pair) => (pair.name, &pair.value),
        Event::End { .. } | Event::EndOfStream { .. } => ("", ""),
    }
}

/// Returns a case that writes pairs to a buffer, which is reused.
fn serialize<'a>(
    pairs: Rc<[(&'a str, &'a str)]>,
    lines: Lines,
    size: usize,
) -> Box<dyn FnMut() + 'a> {
    let mut buffer = Vec::with_capacity(2 * size);
    Box::new(move || {
        buffer.clear();
        let mut serializer = Serializer::new(&mut buffer, lines);
        for (name, value) in &*pairs {
            serializer.pair(name, value).expect("what was parsed can be written");
        }
        black_box(&buffer);
    })
}
