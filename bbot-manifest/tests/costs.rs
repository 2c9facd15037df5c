//! What parsing costs, whatever the input.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::io::{BufReader, Read};

use bbot_manifest::{Event, Limits, Parser, StreamParser};

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
    assert!(stream.next_event().unwrap().is_none(), "an error ends the stream");
    in_memory.to_string()
}

#[test]
fn limits_are_kept() {
    let none = Limits::NONE;
    let text = b": 1\nname: value\nlonger: and longer\n:\n:\n";
    let check = |limits, expected: &str| assert_eq!(error_of(text, limits), expected);
    check(Limits { bytes: 20, ..none }, "1:1: error: bytes of input are more than 20");
    check(Limits { manifests: 2, ..none }, "5:1: error: manifests are more than 2");
    check(Limits { pairs: 1, ..none }, "3:1: error: pairs are more than 1");
    check(Limits { name: 4, ..none }, "3:1: error: name is longer than 4");
    check(Limits { value: 8, ..none }, "3:9: error: value is longer than 8");
    let limits = Limits { bytes: 42, manifests: 3, pairs: 2, name: 6, value: 10 };
    assert!(Parser::new(text).with_limits(limits).all(|event| event.is_ok()));
}

#[test]
fn a_value_that_does_not_end_is_cut_off() {
    let limits = Limits { value: 1000, ..Limits::default() };
    for begin in [": 1\na: ", ": 1\na:\n\\\n", ": 1\na: \\x"] {
        let endless = begin.as_bytes().chain(std::io::repeat(b'x'));
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

/// Reads a text again and again.
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
