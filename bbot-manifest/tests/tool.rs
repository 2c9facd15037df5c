//! The output of the example `manifest`.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

#[path = "../examples/manifest/commands.rs"]
mod commands;

const TEXT: &str =
    ": 1\nname: libhello\ndepends: a\ndepends: b\nlog:\n\\\none\n\ntwo\n\\\n:\nempty:\n";

const JSON: &str = r#"[
  [["name", "libhello"], ["depends", "a"], ["depends", "b"], ["log", "one\n\ntwo"]],
  [["empty", ""]]
]"#;

fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn manifests_become_json_and_json_manifests() {
    let json = commands::json("file", TEXT.as_bytes()).unwrap();
    assert_eq!(value(&json), value(JSON));
    assert_eq!(commands::serialize("file", json.as_bytes()).unwrap(), TEXT);
}

#[test]
fn lines_are_broken_unless_they_are_to_be_long() {
    let long = "x".repeat(100);
    let json = format!(r#"[[["a", "{long}"]]]"#);
    let wrapped = commands::serialize("file", json.as_bytes()).unwrap();
    assert!(wrapped.lines().all(|line| line.len() <= 78) && wrapped.lines().count() == 3);
    let text = commands::serialize_long("file", json.as_bytes()).unwrap();
    assert_eq!(text, format!(": 1\na: {long}\n"));
}

#[test]
fn what_is_parsed_is_shown_with_its_place() {
    assert_eq!(
        commands::parse("file", b": 1\na:\n\\\nb\n\\\n").unwrap(),
        "1:1 start\n2:1 a = 4:1 \"b\"\n6:1 end\n6:1 end of stream\n"
    );
}

#[test]
fn errors_are_shown_with_their_line_and_a_mark() {
    let check = |text: &str| commands::check("file", text.as_bytes());
    assert_eq!(check(TEXT), Ok(String::new()));
    assert_eq!(
        check(": 1\r\na: b\r\r\n\t\u{e9}t\u{e9} x\rb: c\n").unwrap_err(),
        "file:3:6: ':' expected after name\n\t\u{e9}t\u{e9} x\n\t    ^\n"
    );
    assert_eq!(
        check(": 1\na: b\u{7}c\n").unwrap_err(),
        "file:2:5: invalid manifest value: invalid Unicode codepoint (control)\n\
         a: b\u{fffd}c\n    ^\n"
    );
    assert_eq!(check(": 2").unwrap_err(), "file:1:3: unsupported format version 2\n: 2\n  ^\n");
    for command in [commands::parse, commands::json] {
        let message = command("file", b"a").unwrap_err();
        assert_eq!(message, "file:1:2: ':' expected after name\na\n ^\n");
    }
}

#[test]
fn json_that_is_no_list_of_manifests_is_refused() {
    let message = |json: &str| commands::serialize("file", json.as_bytes()).unwrap_err();
    assert!(message("{}").starts_with("file: invalid type: map"), "{}", message("{}"));
    assert_eq!(message(r#"[[["a b", "c"]]]"#), "file: name contains whitespace\n");
    assert_eq!(message(r#"[[["", "1"]]]"#), "file: value without a name\n");
}
