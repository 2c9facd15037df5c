//! What must hold for every input: the checks that the fuzz targets and `cargo test` share.

use std::fmt::{Debug, Display};
use std::io::BufReader;
use std::str::FromStr;

use bbot_manifest::{
    BootstrapManifest, BootstrappedMachine, Error, Event, Limits, Lines, MacAddress, MachineHeader,
    MachineManifest, MachineName, Manifest, PackageConstraint, PackageName, PackageVersion, Parser,
    RepositoryLocation, ResultManifest, ResultRequest, ResultStatus, SemanticVersion, Serializer,
    Sha256Fingerprint, StandardConstraint, StandardVersion, StreamParser, TargetTriplet, TaskEdit,
    TaskManifest, TaskRequest, TaskResponse, TestDependency, ToolchainManifest,
};

/// A name and its value, of a pair.
type Text = Option<(String, String)>;

/// What a parser gives: each event, of a pair its positions and its text; and the error.
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

/// Both parsers see the same, and what they see can be written and is seen again.
pub(crate) fn parse(data: &[u8]) {
    let trace = in_memory(data);
    for piece in [1, 2, 3, 5, 16, 64, 4096] {
        assert_eq!(streamed(data, piece), trace, "in pieces of {piece}");
    }
    if trace.1.is_some() {
        return;
    }
    let pairs = pairs(&trace);
    for lines in [Lines::Wrapped, Lines::Long] {
        let text = written(&pairs, lines).expect("what was parsed can be written");
        assert_eq!(self::pairs(&in_memory(&text)), pairs);
    }
}

/// What can be written is read again; newlines become LF. The data are names and values with NUL
/// between them.
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
        panic!("{text:?} is shown as {shown:?}, which cannot be read");
    };
    assert_eq!(again, value, "{shown:?}");
    assert_eq!(again.to_string(), shown);
}

/// What a value is shown as is read as the same value.
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
    shown_again::<ResultStatus>(text);
    // The text of some locations is for people: a host with an encoded space, for one.
    if let Ok(location) = text.parse::<RepositoryLocation>() {
        assert!(!location.to_string().is_empty() && !location.canonical_name().is_empty());
    }
    let (value, comment) = bbot_manifest::split_comment(text);
    bbot_manifest::merge_comment(&value, &comment);
    if let Ok(words) = bbot_manifest::unquote_words(text) {
        let quoted = bbot_manifest::quote_words(&words);
        assert_eq!(bbot_manifest::unquote_words(&quoted).as_ref(), Ok(&words));
    }
    if let Ok(bytes) = bbot_manifest::decode_base64(text) {
        let encoded = bbot_manifest::encode_base64(&bytes);
        assert_eq!(bbot_manifest::decode_base64(&encoded), Ok(bytes));
    }
}

fn same_again<M: Manifest + PartialEq + Debug>(data: &[u8]) {
    if let Ok(manifest) = M::parse(data, "fuzz") {
        let text = manifest.to_text(Lines::Long).expect("what was parsed can be written");
        assert_eq!(M::parse(text.as_bytes(), "again").expect("and read again"), manifest);
    }
}

/// Typed manifests that were read can be written and read again; a task can be edited.
pub(crate) fn manifests(data: &[u8]) {
    same_again::<MachineHeader>(data);
    same_again::<MachineManifest>(data);
    same_again::<ToolchainManifest>(data);
    same_again::<BootstrapManifest>(data);
    same_again::<BootstrappedMachine>(data);
    same_again::<TaskRequest>(data);
    if let Ok(result) = ResultManifest::parse(data, "fuzz") {
        let text = result.to_text(Lines::Wrapped).expect("a result can be written");
        ResultManifest::parse(text.as_bytes(), "again").expect("and read again");
    }
    ResultRequest::parse(data, "fuzz").ok();
    TaskManifest::parse(data, "fuzz").ok();
    if let Ok(response) = TaskResponse::parse(data, "fuzz")
        && let Some(text) = response.task_text
    {
        let trust = ["yes".to_owned()];
        let edit = TaskEdit { trust: Some(&trust), drop_worker_checksum: true };
        let edited = edit.apply(&text).expect("a task can be edited");
        let task = TaskManifest::parse(edited.as_bytes(), "edited").expect("and read");
        assert_eq!((task.trust.as_slice(), task.worker_checksum), (trust.as_slice(), None));
    }
}
