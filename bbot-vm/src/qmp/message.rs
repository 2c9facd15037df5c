//! Lines into messages.

use serde_json::{Map, Value};

/// One line of QEMU's.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// The first line: the protocol's version and abilities.
    Greeting,
    /// The answer to a command.
    Answer { id: Option<u64>, answer: Result<Value, Refusal> },
    /// Something that happened, known to us or not.
    Event { name: String },
}

/// QEMU's reason for not doing what a command says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) class: String,
    pub(crate) description: String,
}

impl Message {
    /// Returns the message of a line, or nothing if the line is none.
    ///
    /// What a message has beyond the parts that we know is ignored.
    pub(crate) fn parse(line: &[u8]) -> Option<Message> {
        let Value::Object(mut object) = serde_json::from_slice(line).ok()? else { return None };
        if object.contains_key("QMP") {
            return Some(Message::Greeting);
        }
        if let Some(Value::String(name)) = object.remove("event") {
            return Some(Message::Event { name });
        }
        let id = object.get("id").and_then(Value::as_u64);
        if let Some(value) = object.remove("return") {
            return Some(Message::Answer { id, answer: Ok(value) });
        }
        match object.remove("error")? {
            Value::Object(error) => Some(Message::Answer { id, answer: Err(refusal(error)) }),
            _ => None,
        }
    }
}

fn refusal(mut error: Map<String, Value>) -> Refusal {
    let mut text = |key| match error.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    Refusal { class: text("class"), description: text("desc") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line() {
        let refusal =
            || Refusal { class: "GenericError".into(), description: "no such device".into() };
        for (line, expected) in [
            (r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#, Some(Message::Greeting)),
            (
                r#"{"return": {}, "id": 7}"#,
                Some(Message::Answer { id: Some(7), answer: Ok(Value::Object(Map::new())) }),
            ),
            (
                r#"{"return": [], "id": "text"}"#,
                Some(Message::Answer { id: None, answer: Ok(Value::Array(vec![])) }),
            ),
            (
                r#"{"id":1,"error":{"class":"GenericError","desc":"no such device","new":1}}"#,
                Some(Message::Answer { id: Some(1), answer: Err(refusal()) }),
            ),
            (
                r#"{"timestamp":{},"event":"NEWER_THAN_US","data":{"reason":"x"}}"#,
                Some(Message::Event { name: "NEWER_THAN_US".into() }),
            ),
            (r#"{"event":"STOP"}"#, Some(Message::Event { name: "STOP".into() })),
            (r#"{"error": "text"}"#, None),
            (r#"{"event": 1}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
            ("{\"return\": {}", None),
            ("\u{0}", None),
        ] {
            assert_eq!(Message::parse(line.as_bytes()), expected, "{line}");
        }
    }
}
