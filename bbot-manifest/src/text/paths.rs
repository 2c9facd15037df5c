//! Why the grammar is implemented twice, and the test that both implementations agree.
//!
//! The *general path* implements all of the grammar. The scanner (`scanner/general.rs` and
//! `scanner/values.rs`) is a state machine that can stop after any byte and go on when there is
//! more text. The serializer (`Serializer::write_general_pair`) decodes UTF-8, checks each code
//! point, and finds the places where a line is broken.
//!
//! Most of a manifest does not need that: it consists of pairs on a line of their own, with a name
//! of graphic ASCII and a simple value, and of lines with just a colon. The *fast path* recognizes
//! these as a whole. The scanner (`scanner/fast.rs`) knows the end of the line beforehand, because
//! `Validated` notes the newlines of some KiB at once while it checks the code points; it looks at
//! eight bytes of the name at a time (`ascii.rs`). The serializer (`Serializer::write_pair`) writes
//! a short pair of ASCII without decoding it. Both decide before they change any state; a pair that
//! is not of this kind takes the general path.
//!
//! `cargo xtask bench manifest` measures both: its small manifests take the fast path, its logs the
//! general one.

#[cfg(test)]
#[path = "../../tests/corpus/generators.rs"]
mod generators;

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use proptest::prelude::*;

    use crate::error::Error;
    use crate::text::paths::generators::{long_manifest_like, manifest_like, value};
    use crate::text::{Event, Lines, Parser, Serializer, StreamParser};

    /// The events of a text with their values and positions, and the error with its position.
    type Trace = (Vec<String>, Option<String>);

    fn trace<'a>(mut next: impl FnMut() -> Option<Result<Event<'a>, Error>>) -> Trace {
        let mut events = Vec::new();
        while let Some(event) = next() {
            match event {
                Ok(event) => events.push(format!("{event:?}")),
                Err(error) => return (events, Some(error.to_string())),
            }
        }
        (events, None)
    }

    fn parsed(text: &[u8]) -> Trace {
        let mut parser = Parser::new(text);
        trace(|| parser.next())
    }

    fn parsed_generally(text: &[u8]) -> Trace {
        let mut parser = Parser::new(text);
        trace(|| parser.general_step().transpose())
    }

    /// Parses a stream; `next` is the path.
    fn streamed(
        text: &[u8],
        piece: usize,
        next: for<'p> fn(&'p mut StreamParser<Input>) -> Result<Option<Event<'p>>, Error>,
    ) -> Trace {
        let reader = BufReader::with_capacity(piece, Cursor::new(text.to_vec()));
        let mut parser = StreamParser::new(reader);
        let mut events = Vec::new();
        loop {
            match next(&mut parser) {
                Ok(Some(event)) => events.push(format!("{event:?}")),
                Ok(None) => return (events, None),
                Err(error) => return (events, Some(error.to_string())),
            }
        }
    }

    type Input = BufReader<Cursor<Vec<u8>>>;

    fn check_parsers(text: &[u8]) {
        let general = parsed_generally(text);
        assert_eq!(parsed(text), general);
        assert_eq!(streamed(text, 4096, StreamParser::next_event), general);
        assert_eq!(streamed(text, 4096, StreamParser::general_step), general);
    }

    type Write = fn(&mut Serializer<Vec<u8>>, &[u8], &[u8]) -> Result<(), Error>;

    fn written(name: &str, value: &str, write: Write) -> Result<Vec<u8>, String> {
        let mut serializer = Serializer::new(Vec::new(), Lines::Wrapped);
        serializer.start().expect("a start can be written");
        write(&mut serializer, name.as_bytes(), value.as_bytes())
            .map_err(|error| error.to_string())?;
        serializer.finish().map_err(|error| error.to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500,
            failure_persistence: None,
            ..Default::default()
        })]

        #[test]
        fn both_paths_of_the_parsers_agree(text in manifest_like()) {
            check_parsers(&text);
        }

        #[test]
        fn both_paths_of_the_serializer_agree(
            name in "[a-z:# \u{e9}]{1,45}",
            value in prop_oneof!["[ -~]{0,40}", value()],
        ) {
            prop_assert_eq!(
                written(&name, &value, Serializer::write_pair),
                written(&name, &value, Serializer::write_general_pair)
            );
        }
    }

    proptest! {
        // Long inputs: fewer of them.
        #![proptest_config(ProptestConfig {
            cases: 60,
            failure_persistence: None,
            ..Default::default()
        })]

        #[test]
        fn both_paths_agree_on_long_inputs(text in long_manifest_like()) {
            check_parsers(&text);
        }
    }
}
