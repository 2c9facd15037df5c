//! Checks that hold for every input, for the fuzz targets and `cargo test`.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io::BufReader;
use std::str::FromStr;

use bbot_manifest::de::{from_parser, from_stream_parser};
use bbot_manifest::location::RepositoryType;
use bbot_manifest::protocol::{
    BootstrapManifest, InteractiveMode, MacAddress, MachineRole, MachineType, Sha256Fingerprint,
    TargetTriplet, TaskEdit, TaskRequirement, TestDependency, ToolchainManifest,
};
use bbot_manifest::version::{PackageConstraint, SemanticVersion, StandardConstraint};
use bbot_manifest::{
    BootstrappedMachine, Error, Event, Limits, Lines, MachineHeader, MachineManifest, MachineName,
    Manifest, PackageName, PackageVersion, Parser, RepositoryLocation, ResultManifest,
    ResultRequest, ResultStatus, Serializer, StandardVersion, StreamParser, TaskManifest,
    TaskRequest, TaskResponse, from_str, to_string,
};

use RepositoryType::{Dir, Git, Pkg};

/// A name and its value, of a pair.
type Text = Option<(String, String)>;

/// The result of a parser: each event, that of a pair as its positions and its text; and the error.
type Trace = (Vec<(Event<'static>, Text)>, Option<String>);

fn owned(event: &Event<'_>) -> (Event<'static>, Text) {
    match event {
        Event::Start { name_at, value_at } => {
            (Event::Start { name_at: *name_at, value_at: *value_at }, None)
        }
        Event::Pair(pair) => {
            let text = (pair.name.to_owned(), pair.value.clone().into_owned());
            (Event::Start { name_at: pair.name_at, value_at: pair.value_at }, Some(text))
        }
        Event::End { at } => (Event::End { at: *at }, None),
        Event::EndOfStream { at } => (Event::EndOfStream { at: *at }, None),
    }
}

fn in_memory(data: &[u8]) -> Trace {
    let mut events = Vec::new();
    for event in Parser::new(data).with_limits(Limits::NONE) {
        match event {
            Ok(event) => events.push(owned(&event)),
            Err(error) => return (events, Some(error.to_string())),
        }
    }
    (events, None)
}

fn streamed(data: &[u8], piece: usize) -> Trace {
    let reader = BufReader::with_capacity(piece, data);
    let mut parser = StreamParser::new(reader).with_limits(Limits::NONE);
    let mut events = Vec::new();
    loop {
        match parser.next_event() {
            Ok(Some(event)) => events.push(owned(&event)),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error.to_string())),
        }
    }
}

/// Returns the pairs that write what was parsed.
fn pairs(trace: &Trace) -> Vec<(String, String)> {
    let pair = |(event, text): &(Event<'_>, Text)| match (event, text) {
        (_, Some(text)) => text.clone(),
        (Event::Start { .. }, None) => (String::new(), "1".to_owned()),
        _ => (String::new(), String::new()),
    };
    trace.0.iter().map(pair).collect()
}

fn written(pairs: &[(String, String)], lines: Lines) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let mut serializer = Serializer::new(&mut text, lines);
    pairs.iter().try_for_each(|(name, value)| serializer.pair(name, value))?;
    Ok(text)
}

/// Both parsers have the same result, whatever the pieces of the input.
pub(crate) fn pieces(data: &[u8], sizes: impl IntoIterator<Item = usize>) {
    let trace = in_memory(data);
    for size in sizes {
        assert_eq!(streamed(data, size), trace, "in pieces of {size}");
    }
}

/// Both parsers have the same result, and what they parse can be written and parsed again.
pub(crate) fn parse(data: &[u8]) {
    pieces(data, [1, 2, 3, 5, 16, 64, 4096]);
    let trace = in_memory(data);
    if trace.1.is_some() {
        return;
    }
    let pairs = pairs(&trace);
    for lines in [Lines::Wrapped, Lines::Long] {
        let text = written(&pairs, lines).expect("what was parsed can be written");
        assert_eq!(self::pairs(&in_memory(&text)), pairs);
    }
}

/// What can be written is parsed as the same; newlines become LF. The data are names and values
/// with NULs between them.
pub(crate) fn serialize(data: &[u8]) {
    for lines in [Lines::Wrapped, Lines::Long] {
        let mut text = Vec::new();
        let mut serializer = Serializer::new(&mut text, lines);
        serializer.start().expect("a start can be written");
        let mut expected = Vec::new();
        let mut fields = data.split(|&b| b == 0);
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            if !name.is_empty() && serializer.pair(name, value).is_ok() {
                let value =
                    String::from_utf8_lossy(value).replace("\r\n", "\n").replace('\r', "\n");
                expected.push((String::from_utf8_lossy(name).into_owned(), value));
            }
        }
        serializer.finish().expect("an end can be written");
        let read = in_memory(&text);
        assert_eq!(read.1, None, "{}", String::from_utf8_lossy(&text));
        assert!(pairs(&read).iter().filter(|(name, _)| !name.is_empty()).eq(&expected));
    }
}

fn shown_again<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let shown = value.to_string();
    let Ok(again) = shown.parse::<T>() else {
        panic!("{text:?} is displayed as {shown:?}, which cannot be parsed");
    };
    assert_eq!(again, value, "{shown:?}");
    assert_eq!(again.to_string(), shown);
}

/// The text that a value is displayed as is parsed as the same value.
pub(crate) fn values(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    shown_again::<PackageName>(text);
    shown_again::<PackageVersion>(text);
    shown_again::<PackageConstraint>(text);
    shown_again::<StandardVersion>(text);
    shown_again::<StandardConstraint>(text);
    shown_again::<SemanticVersion>(text);
    shown_again::<MacAddress>(text);
    shown_again::<MachineName>(text);
    shown_again::<Sha256Fingerprint>(text);
    shown_again::<TargetTriplet>(text);
    shown_again::<TestDependency>(text);
    shown_again::<TaskRequirement>(text);
    shown_again::<InteractiveMode>(text);
    shown_again::<MachineRole>(text);
    shown_again::<MachineType>(text);
    shown_again::<ResultStatus>(text);
    for kind in [None, Some(Pkg), Some(Dir), Some(Git)] {
        location(text, kind);
    }
    bbot_manifest::text::Commented::split(text).merge();
    if let Ok(words) = bbot_manifest::text::unquote_words(text) {
        let quoted = bbot_manifest::text::quote_words(&words);
        assert_eq!(bbot_manifest::text::unquote_words(&quoted).as_ref(), Ok(&words));
    }
    if let Ok(bytes) = bbot_manifest::text::decode_base64(text) {
        let encoded = bbot_manifest::text::encode_base64(&bytes);
        assert_eq!(bbot_manifest::text::decode_base64(&encoded), Ok(bytes));
    }
}

/// A location is parsed again from its text, and from its URL and type, as in a manifest.
fn location(text: &str, kind: Option<RepositoryType>) {
    let Ok(location) = RepositoryLocation::parse(text, kind, None) else { return };
    shown_again::<RepositoryLocation>(&location.to_string());
    assert_eq!(location.to_string().parse().as_ref(), Ok(&location), "{text:?}");
    let url = location.url();
    let again = RepositoryLocation::parse(&url, Some(location.kind()), None);
    assert_eq!(again.as_ref(), Ok(&location), "{text:?} as {url:?}");
}

fn written_again<M: Manifest>(manifest: &M) -> M {
    let text = manifest.to_text(Lines::Long).expect("what was parsed can be written");
    M::parse(text.as_bytes(), "again").expect("and read again")
}

fn same_again<M: Manifest + PartialEq + Debug>(data: &[u8]) {
    if let Ok(manifest) = M::parse(data, "fuzz") {
        assert_eq!(written_again(&manifest), manifest);
    }
}

fn results(data: &[u8]) {
    if let Ok(mut result) = ResultManifest::parse(data, "fuzz") {
        result.dropped.clear();
        assert_eq!(written_again(&result), result);
    }
    if let Ok(mut request) = ResultRequest::parse(data, "fuzz") {
        request.result.dropped.clear();
        assert_eq!(written_again(&request), request);
    }
}

fn tasks(data: &[u8]) {
    same_again::<TaskManifest>(data);
    let Ok(mut response) = TaskResponse::parse(data, "fuzz") else { return };
    if let Some(text) = response.task_text.take() {
        edit(&text);
    }
    let mut again = written_again(&response);
    again.task_text = None;
    assert_eq!(again, response);
}

/// An edit changes two values and no others.
fn edit(task: &str) {
    let trust = ["yes".to_owned()];
    let mut edit = TaskEdit::default();
    edit.trust = Some(&trust);
    edit.drop_worker_checksum = true;
    let edited = edit.apply(task).expect("a task can be edited");
    let parsed = TaskManifest::parse(edited.as_bytes(), "edited").expect("and read");
    assert_eq!((parsed.trust.as_slice(), parsed.worker_checksum), (trust.as_slice(), None));
    let others = |text: &str| {
        let mut pairs = pairs(&in_memory(text.as_bytes()));
        pairs.retain(|(name, _)| name != "trust" && name != "worker-checksum");
        pairs
    };
    let unchanged = TaskEdit::default().apply(task).expect("a task can be edited without a change");
    assert_eq!(others(&edited), others(&unchanged));
}

/// The serde data format deserializes a list of any values as the parser parses it.
fn serde_data(data: &[u8]) {
    type List = Vec<BTreeMap<String, Vec<String>>>;
    let trace = in_memory(data);
    let list = from_parser::<List>(Parser::new(data).with_limits(Limits::NONE));
    let streamed = StreamParser::new(BufReader::with_capacity(3, data)).with_limits(Limits::NONE);
    match (&list, from_stream_parser::<List, _>(streamed)) {
        (Ok(list), Ok(streamed)) => assert_eq!(*list, streamed),
        (Err(error), Err(streamed)) => assert_eq!(error.to_string(), streamed.to_string()),
        (list, streamed) => panic!("{list:?} in memory, {streamed:?} streamed"),
    }
    assert_eq!(list.as_ref().err().map(ToString::to_string), trace.1);
    let Ok(list) = list else { return };
    let mut expected = List::new();
    for (event, text) in trace.0 {
        match (event, text) {
            (_, Some((name, value))) => {
                let manifest = expected.last_mut().expect("a start comes before");
                manifest.entry(name).or_default().push(value);
            }
            (Event::Start { .. }, None) => expected.push(BTreeMap::new()),
            _ => {}
        }
    }
    assert_eq!(list, expected);
    let text = to_string(&list).expect("what was parsed can be written");
    assert_eq!(from_str::<List>(&text).expect("and read again"), list);
}

/// Typed manifests that were parsed can be written and parsed again; a task can be edited.
pub(crate) fn manifests(data: &[u8]) {
    same_again::<MachineHeader>(data);
    same_again::<MachineManifest>(data);
    same_again::<ToolchainManifest>(data);
    same_again::<BootstrapManifest>(data);
    same_again::<BootstrappedMachine>(data);
    same_again::<TaskRequest>(data);
    results(data);
    tasks(data);
    serde_data(data);
}
