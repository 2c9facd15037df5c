//! The interface of the parsers and the serializer: what they accept, borrow, and fail with.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::error::Error as _;
use std::io::{self, BufRead, Read, Write};

use bbot_manifest::{Error, ErrorKind, Event, Lines, Parser, Position, Serializer, StreamParser};

/// A reader of the given parts, one at a time, which must not be read further.
struct Script {
    parts: VecDeque<io::Result<&'static [u8]>>,
}

impl Script {
    fn new<const N: usize>(parts: [io::Result<&'static [u8]>; N]) -> Self {
        Self { parts: parts.into() }
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut part = self.fill_buf()?;
        let length = part.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Script {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let next = self.parts.front().expect("more is read than is needed");
        if next.is_err() {
            return self.parts.pop_front().unwrap();
        }
        Ok(self.parts[0].as_ref().unwrap())
    }

    fn consume(&mut self, length: usize) {
        if let Some(Ok(part)) = self.parts.front_mut() {
            *part = &part[length..];
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}

fn values(parser: Parser<'_>) -> Vec<Cow<'_, str>> {
    let value = |event| match event {
        Ok(Event::Pair(pair)) => Some(pair.value),
        _ => None,
    };
    parser.filter_map(value).collect()
}

#[test]
fn types_are_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Parser<'_>>();
    check::<StreamParser<Script>>();
    check::<Serializer<Full>>();
    check::<Event<'_>>();
    check::<Error>();
    check::<bbot_manifest::TaskResponse>();
    check::<bbot_manifest::ResultRequest>();
    check::<bbot_manifest::BootstrappedMachine>();
    check::<bbot_manifest::version::PackageConstraint>();
    check::<bbot_manifest::RepositoryLocation>();
}

#[test]
fn texts_and_bytes_are_parsed() {
    let text = ": 1\na: b\n".to_owned();
    assert_eq!(values(Parser::new(&text)), ["b"]);
    assert_eq!(values(Parser::new(text.as_str())), ["b"]);
    assert_eq!(values(Parser::new(text.as_bytes())), ["b"]);
    assert_eq!(values(Parser::new(b": 1\na: b\n")), ["b"]);
}

#[test]
fn values_that_stand_unbroken_are_borrowed() {
    let text = ": 1\na: b  \nc: d\\\\\ne:\nf:\n\\\ng\nh\n\\\ni:   \u{e9}\\x";
    let values = values(Parser::new(text));
    assert_eq!(values, ["b", "d\\", "", "g\nh", "\u{e9}\\x"]);
    assert!(values.iter().all(|value| matches!(value, Cow::Borrowed(_))), "{values:?}");
    let broken = ": 1\na: b\\\nc\nd:\n\\\ne\rf\n\\\n";
    assert_eq!(self::values(Parser::new(broken)), ["bc", "e\nf"]);
}

/// An event is returned as soon as the input that determines it has been read, so that a program
/// can respond before its peer sends more.
#[test]
fn nothing_is_read_ahead() {
    // The number of events of an input whose end is not known.
    for (text, events) in [
        (&b": 1\n"[..], 1),
        (b": 1\na: b\n", 2),
        (b": 1\na: b\\\nc\n", 2),
        (b": 1\na:\nb", 2),
        (b": 1\na:\n\\\nb\n\\\n", 2),
        (b": 1\na: b\n:\nc", 4),
    ] {
        let mut parser = StreamParser::new(Script::new([Ok(text)]));
        for _ in 0..events {
            assert!(parser.next_event().unwrap().is_some());
        }
    }
}

#[test]
fn a_reader_may_be_interrupted_and_may_fail() {
    let interrupted = || Err(io::ErrorKind::Interrupted.into());
    let failure = Err(io::Error::other("cable cut"));
    let reader = Script::new([interrupted(), Ok(b": 1\nna"), interrupted(), failure]);
    let mut parser = StreamParser::new(reader).with_name("port");
    assert!(matches!(parser.next_event(), Ok(Some(Event::Start { .. }))));
    let error = parser.next_event().unwrap_err();
    assert_eq!(error.to_string(), "port:2:1: error: cannot read or write manifest");
    assert_eq!(error.source().unwrap().to_string(), "cable cut");
    assert!(parser.next_event().unwrap().is_none());
}

/// A writer with room for some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.0);
        self.0 -= length;
        if length == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(length) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_written_is_an_error_with_the_name() {
    let mut serializer = Serializer::new(Vec::new(), Lines::Wrapped).with_name("out");
    let message = |result: Result<(), Error>| result.unwrap_err().to_string();
    assert_eq!(message(serializer.pair("a", "b")), "out: error: format version pair expected");
    serializer.start().unwrap();
    assert_eq!(message(serializer.pair("a:b", "c")), "out: error: name contains ':'");
    assert_eq!(
        message(serializer.pair("a", b"\xff")),
        "out: error: invalid value: invalid UTF-8 sequence first byte (0xFF)"
    );
    assert_eq!(
        message(serializer.comment("\u{7}")),
        "out: error: invalid comment: invalid Unicode codepoint (control)"
    );
    assert_eq!(serializer.finish().unwrap(), b": 1\n", "nothing of them is written");
    let mut serializer = Serializer::new(Full(6), Lines::Wrapped);
    serializer.start().unwrap();
    let error = serializer.pair("name", "value").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io(e) if e.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn comments_stand_between_pairs_and_are_skipped() {
    let mut serializer = Serializer::new(Vec::new(), Lines::Wrapped);
    serializer.comment("before").unwrap();
    serializer.start().unwrap();
    serializer.pair("a", "b").unwrap();
    serializer.comment("").unwrap();
    serializer.pair("c", "d").unwrap();
    let text = serializer.finish().unwrap();
    assert_eq!(text, b"# before\n: 1\na: b\n#\nc: d\n");
    let mut parser = Parser::new(&text);
    assert_eq!(
        parser.next().unwrap().unwrap(),
        Event::Start {
            name_at: Position { line: 2, column: 1 },
            value_at: Position { line: 2, column: 3 }
        }
    );
    assert_eq!(values(parser), ["b", "d"]);
}
