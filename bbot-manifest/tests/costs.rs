//! The time and memory that manifests take.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::io::{BufReader, Read};
use std::time::Duration;

use bbot_manifest::protocol::TaskEdit;
use bbot_manifest::text::{Commented, Limit, unquote_words};
use bbot_manifest::{
    ErrorKind, Event, Limits, Lines, Manifest, Parser, ResultManifest, Serializer, StreamParser,
    from_slice,
};
use nix::time::{ClockId, clock_gettime};

fn error_of(text: &[u8], limits: Limits) -> String {
    let in_memory = Parser::new(text).with_limits(limits).find_map(Result::err).unwrap();
    let mut stream = StreamParser::new(BufReader::with_capacity(5, text)).with_limits(limits);
    let streamed = loop {
        match stream.next_event() {
            Ok(event) => assert!(event.is_some(), "the stream has no error"),
            Err(error) => break error,
        }
    };
    assert_eq!(in_memory.message(), streamed.message());
    let is_about_all = matches!(in_memory.kind(), ErrorKind::Limit { limit: Limit::Bytes, .. });
    assert!(is_about_all || in_memory.position() == streamed.position());
    assert!(stream.next_event().unwrap().is_none(), "an error ends the stream");
    in_memory.to_string()
}

fn changed(mut limits: Limits, change: impl FnOnce(&mut Limits)) -> Limits {
    change(&mut limits);
    limits
}

#[test]
fn limits_are_kept() {
    let text = b": 1\nname: value\nlonger: and longer\n:\n:\n";
    let check = |set: fn(&mut Limits), expected: &str| {
        assert_eq!(error_of(text, changed(Limits::NONE, set)), expected);
    };
    check(|limits| limits.bytes = 20, "1:1: error: bytes of input are more than 20");
    check(|limits| limits.manifests = 2, "5:1: error: manifests are more than 2");
    check(|limits| limits.pairs = 1, "3:1: error: pairs are more than 1");
    check(|limits| limits.name = 4, "3:1: error: name is longer than 4");
    check(|limits| limits.value = 8, "3:9: error: value is longer than 8");
    let spaces = |text: &[u8], expected: &str| {
        let limits = changed(Limits::NONE, |limits| limits.value = 4);
        assert_eq!(error_of(text, limits), expected);
    };
    spaces(b": 1\na     : b\n", "2:2: error: value is longer than 4");
    spaces(b": 1\na:     b\n", "2:2: error: value is longer than 4");
    spaces(b": 1\na : \t  b\n", "2:2: error: value is longer than 4");
    let limits = changed(Limits::NONE, |limits| {
        (limits.bytes, limits.manifests, limits.pairs) = (42, 3, 2);
        (limits.name, limits.value) = (6, 10);
    });
    assert!(Parser::new(text).with_limits(limits).all(|event| event.is_ok()));
}

#[test]
fn a_value_that_does_not_end_is_cut_off() {
    let limits = changed(Limits::default(), |limits| (limits.name, limits.value) = (1000, 1000));
    for (begin, end) in [
        ("a: ", b'x'),
        ("a:\n\\\n", b'x'),
        ("a: \\x", b'x'),
        ("a:\n\\\n", b'\n'),
        ("a", b'x'),
        ("a", b' '),
        ("a:", b' '),
    ] {
        let endless = b": 1\n".chain(begin.as_bytes()).chain(std::io::repeat(end));
        let mut parser = StreamParser::new(BufReader::new(endless)).with_limits(limits);
        assert!(parser.next_event().is_ok());
        assert!(parser.next_event().unwrap_err().message().contains("longer than 1000"));
    }
}

#[test]
fn events_of_unbroken_values_allocate_nothing() {
    let manifest = ": 1\nname: libhello\nsummary:   a  b\t\n# comment\nlog:\n\\\none\ntwo\n\\\n\
        \u{e9}: \u{e9}\n";
    let text = manifest.repeat(1000);
    let mut parser = Parser::new(text.as_bytes());
    let mut pairs = 0;
    let info = allocation_counter::measure(|| {
        for event in &mut parser {
            pairs += usize::from(matches!(event, Ok(Event::Pair(_))));
        }
    });
    assert_eq!((pairs, info.count_total), (4000, 0));
}

/// Returns a reader of a text, repeated.
fn repeated(text: &'static str, times: usize) -> impl Read {
    let mut reader: Box<dyn Read> = Box::new(std::io::empty());
    for _ in 0..times {
        reader = Box::new(text.as_bytes().chain(reader));
    }
    reader
}

#[test]
fn the_memory_of_a_stream_does_not_depend_on_its_length() {
    let peak = |times| {
        let text = ": 1\nname: value\nlog:\n\\\nsome\nlines\\\\\n\\\n";
        let reader = BufReader::with_capacity(64, repeated(text, times));
        let mut parser = StreamParser::new(reader);
        let info = allocation_counter::measure(|| {
            while let Some(event) = parser.next_event().unwrap() {
                drop(event);
            }
        });
        info.bytes_max
    };
    assert_eq!(peak(10), peak(1000));
}

/// Texts that are expensive to parse: the beginning, and what is repeated after it.
const HOSTILE: [(&str, &str); 14] = [
    ("a: ", "\\"),
    ("a:\n\\\n", "\\"),
    ("a:\n\\\n", "x\\\n\\\\\n"),
    ("a: x\\\n", "\\\ny\\\n"),
    ("a: x\n", "\r"),
    ("a:\n\\\n", "\r"),
    ("a: ", "x"),
    ("a: ", "x "),
    ("a: ", "\u{e9}"),
    ("", "x"),
    ("a:", " "),
    ("#", "#"),
    ("", ":\n"),
    ("", "a:\n"),
];

fn hostile(begin: &str, repeated: &str, size: usize) -> Vec<u8> {
    format!(": 1\n{begin}{}", repeated.repeat(size / repeated.len())).into_bytes()
}

fn parse(text: &[u8]) -> usize {
    Parser::new(text).with_limits(Limits::NONE).count()
}

fn stream(text: &[u8]) -> usize {
    let reader = BufReader::with_capacity(4096, text);
    let mut parser = StreamParser::new(reader).with_limits(Limits::NONE);
    let mut events = 0;
    while let Ok(Some(_)) = parser.next_event() {
        events += 1;
    }
    events
}

/// Returns the processor time of this thread, which does not depend on other threads.
fn cpu_time(work: impl FnOnce()) -> Duration {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let start = now();
    work();
    now().saturating_sub(start)
}

/// The size of the large input in sizes of the small one.
const GROWTH: u32 = 8;

/// Checks that the time for an input is proportional to its size.
///
/// Proportional work takes eight times as long on the large input; work that grows with the square
/// of the size takes sixty-four times as long. The least time of up to twenty runs counts, as other
/// programs can only add to it.
#[track_caller]
fn check_linear<I>(what: &str, make: impl Fn(usize) -> I, work: impl Fn(&I)) {
    const SIZE: usize = 32 << 10;
    let (small, large) = (make(SIZE), make(SIZE * GROWTH as usize));
    let (mut least, mut most) = (Duration::MAX, Duration::MAX);
    for _ in 0..20 {
        least = least.min(cpu_time(|| work(&small)));
        most = most.min(cpu_time(|| work(&large)));
        if most < least * GROWTH * 2 + Duration::from_micros(100) {
            return;
        }
    }
    panic!("{what}: {least:?} of work grew to {most:?}");
}

#[test]
fn the_work_of_parsing_is_proportional() {
    for (begin, repeated) in HOSTILE {
        let what = format!("{begin:?} and {repeated:?}, repeated");
        let make = |size| hostile(begin, repeated, size);
        check_linear(&what, make, |text| assert!(parse(text) > 0));
        check_linear(&what, make, |text| assert!(stream(text) > 0));
    }
}

#[test]
fn the_work_of_writing_is_proportional() {
    for repeated in ["\\", "x", "x ", " ", "\u{e9}", "\n", "\r", "\\\n", "\\ "] {
        for lines in [Lines::Wrapped, Lines::Long] {
            let make = |size| repeated.repeat(size / repeated.len());
            check_linear(&format!("{repeated:?}, {lines:?}"), make, |value| {
                let mut serializer = Serializer::new(Vec::new(), lines);
                serializer.start().unwrap();
                serializer.pair("a", value).unwrap();
            });
        }
    }
}

/// Returns numbered lines.
fn numbered(begin: &str, line: impl Fn(usize) -> String, size: usize) -> Vec<u8> {
    let mut text = begin.to_owned();
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        text += &line(number);
    }
    text.into_bytes()
}

#[test]
fn the_work_on_values_is_proportional() {
    type Any = std::collections::BTreeMap<String, Vec<String>>;
    let names = |size| numbered(": 1\n", |number| format!("a{number}: b\n"), size);
    check_linear("names", names, |text| drop(from_slice::<Any>(text).unwrap()));
    let same = |size| numbered(": 1\n", |_| "a: b\n".to_owned(), size);
    check_linear("values of a name", same, |text| drop(from_slice::<Any>(text).unwrap()));
    let operations = |size| {
        let line = |number| format!("a{number}-status: error\na{number}-log: x\n");
        numbered(": 1\nname: libhello\nversion: 1\nstatus: error\n", line, size)
    };
    check_linear("operations", operations, |text| {
        drop(ResultManifest::parse(text, "result").unwrap());
    });
    let task = |size| String::from_utf8(numbered(":\n", |_| "trust: 1\nb: c\n".to_owned(), size));
    check_linear("trusted", task, |text| {
        let trust = ["yes".to_owned()];
        let mut edit = TaskEdit::default();
        edit.trust = Some(&trust);
        edit.drop_worker_checksum = true;
        drop(edit.apply(text.as_ref().unwrap()).unwrap());
    });
}

#[test]
fn the_work_on_texts_is_proportional() {
    for repeated in ["\\", "\\;", ";\n", "\\;\n", " ", "'\"'", "a b "] {
        let make = |size| repeated.repeat(size / repeated.len());
        check_linear(repeated, make, |text| {
            drop(Commented::split(text).merge());
            unquote_words(text).ok();
        });
    }
}

/// The total of allocated memory, which is counted exactly.
#[test]
fn the_memory_of_parsing_is_proportional() {
    for (begin, repeated) in HOSTILE {
        let allocated = |size: usize, work: fn(&[u8]) -> usize| {
            let text = hostile(begin, repeated, size);
            allocation_counter::measure(|| assert!(work(&text) > 0)).bytes_total
        };
        for work in [parse, stream] {
            let (small, large) = (allocated(64 << 10, work), allocated(512 << 10, work));
            let most = small * u64::from(GROWTH) * 6 / 5 + 4096;
            assert!(large <= most, "{begin:?} and {repeated:?}: {small} grew to {large}");
        }
    }
}
