//! What is measured.

use std::hint::black_box;
use std::io::BufReader;
use std::time::{Duration, Instant};

use bbot_manifest::{
    Event, Lines, Manifest, PackageName, Parser, ResultManifest, Serializer, StreamParser,
};
use serde::Deserialize;

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
    /// Returns something that depends on all values.
    fn length(&self) -> usize {
        let lists = self.depends.iter().chain(&self.requires).map(|value| value.len());
        let texts = [self.version, self.project, self.summary, self.license, self.topics, self.url]
            .into_iter()
            .chain([self.email, self.location.unwrap_or_default(), self.sha256sum]);
        self.name.as_str().len() + lists.sum::<usize>() + texts.map(str::len).sum::<usize>()
    }
}

type Case<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Measures all cases on an input.
pub(crate) fn measure(input: &Input, rounds: usize) -> Vec<Row> {
    let events: Vec<Event<'_>> =
        Parser::new(&input.bytes).collect::<Result<_, _>>().expect("the input is a manifest");
    let bytes = &input.bytes;
    let mut cases: Vec<Case<'_>> = vec![
        ("limit", Box::new(|| limit(bytes))),
        ("from_utf8", Box::new(|| assert!(black_box(std::str::from_utf8(bytes)).is_ok()))),
        ("parse", Box::new(|| parse(bytes))),
        ("parse-typed", Box::new(|| parse_typed(input))),
        ("stream", Box::new(|| stream(bytes))),
        ("serialize-long", serialize(&events, Lines::Long, bytes.len())),
        ("serialize-short", serialize(&events, Lines::Wrapped, bytes.len())),
    ];
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    for _ in 0..=rounds {
        for ((_, case), times) in cases.iter_mut().zip(&mut times) {
            let start = Instant::now();
            case();
            times.push(start.elapsed());
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

/// What nothing that reads lines of UTF-8 can be faster than.
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

/// Returns a case that writes `events` to a buffer, the same again and again.
fn serialize<'a>(events: &'a [Event<'a>], lines: Lines, size: usize) -> Box<dyn FnMut() + 'a> {
    let mut buffer = Vec::with_capacity(2 * size);
    Box::new(move || {
        buffer.clear();
        let mut serializer = Serializer::new(&mut buffer, lines);
        for event in events {
            let written = match event {
                Event::Start { .. } => serializer.start(),
                Event::Pair(pair) => serializer.pair(pair.name, &*pair.value),
                Event::End { .. } | Event::EndOfStream { .. } => serializer.pair("", ""),
            };
            written.expect("what was parsed can be written");
        }
        black_box(&buffer);
    })
}
