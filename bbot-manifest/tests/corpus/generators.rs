//! Random texts, for tests of the crate and within it.

use proptest::prelude::*;

/// Texts that consist of what the parser distinguishes.
pub(crate) fn manifest_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(&b"\n"[..]),
        3 => Just(&b"\\"[..]),
        1 => Just(&b"\\\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b"\r\n"[..]),
        2 => Just(&b":"[..]),
        1 => Just(&b": 1\n"[..]),
        2 => Just(&b" "[..]),
        1 => Just(&b"\t"[..]),
        1 => Just(&b"#"[..]),
        3 => Just(&b"a"[..]),
        2 => Just(&b"name: value\n"[..]),
        1 => Just(&b"seven77: value\n"[..]),
        1 => Just(&b"name: value\t\n"[..]),
        1 => Just(&b"name:\tvalue \n"[..]),
        1 => Just(&b"n:v\\\nn: \n"[..]),
        1 => Just(&b"#ame: value\n:\n"[..]),
        1 => Just(&b"eight888: \\x\n"[..]),
        1 => Just("ni\u{e9}e9:v\n".as_bytes()),
        1 => Just(&b"a long name: v\n"[..]),
        1 => Just(&b"log:\n\\\n"[..]),
        1 => Just("\u{e9}\u{20ac}\u{1f600}".as_bytes()),
        1 => Just(&b"\xe2\x82"[..]),
        1 => Just(&b"\x07"[..]),
        1 => Just("\u{200b}".as_bytes()),
    ];
    let body = prop::collection::vec(piece, 0..40);
    (any::<bool>(), body).prop_map(|(start, pieces)| {
        let start: &[u8] = if start { b": 1\n" } else { b"" };
        [start, &pieces.concat()].concat()
    })
}

/// The same between long runs of plain text, so that the steps of the parser, of 8 and 16 KiB, end
/// anywhere in it.
pub(crate) fn long_manifest_like() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        Just("name: value\n"),
        Just(":\n"),
        Just("a\u{e9}: \u{20ac}\n"),
        Just("name: value\r\n"),
        Just("a: b\r\n"),
        Just("\r"),
        Just("#"),
        Just("x"),
        Just("\n"),
        Just(": 1\nlog:\n\\\nline\n\\\n"),
    ];
    let part = (run, 8100..8300_usize, manifest_like());
    prop::collection::vec(part, 1..4).prop_map(|parts| {
        let mut text = b": 1\n".to_vec();
        for (run, length, rest) in parts {
            text.extend(run.as_bytes().iter().cycle().take(length));
            text.extend(rest);
        }
        text
    })
}

/// Texts that a value can hold, many of them long enough to be broken into lines.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let word = prop_oneof!["[a-z\\\\;: #]{0,30}", "[ \t\\\\\n\r]{0,4}", "[x\u{e9}\u{4e2d}]{0,90}"];
    prop::collection::vec(word, 0..8).prop_map(|words| words.concat())
}
