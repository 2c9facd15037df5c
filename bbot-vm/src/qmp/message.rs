//! Lines into messages.

use serde_json::{Map, Value};

/// One line that QEMU sent.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// The first line: QEMU's version and the protocol's capabilities.
    Greeting,
    /// The answer to a command.
    Answer { id: Option<u64>, answer: Result<Value, Refusal> },
    /// An event, known to us or not.
    Event(Event),
}

/// An event as QEMU sent it.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    /// Its name, such as `SHUTDOWN`.
    pub(crate) name: String,
    /// Its data; null if it has none.
    pub(crate) data: Value,
}

/// QEMU's reason for not executing a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) class: String,
    pub(super) description: String,
}

impl Message {
    /// Returns the message of a line, or nothing if the line is none.
    ///
    /// Members of a message other than those that the protocol defines are ignored.
    pub(super) fn parse(line: &[u8]) -> Option<Message> {
        let Value::Object(mut object) = serde_json::from_slice(line).ok()? else { return None };
        if object.contains_key("QMP") {
            return Some(Message::Greeting);
        }
        if let Some(name) = object.remove("event") {
            let data = object.remove("data").unwrap_or_default();
            return Some(Message::Event(Event { name: event_name(name), data }));
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

impl Event {
    /// Returns the event of a line, or nothing if the line is no event.
    pub(crate) fn parse(line: &[u8]) -> Option<Event> {
        match Message::parse(line)? {
            Message::Event(event) => Some(event),
            Message::Greeting | Message::Answer { .. } => None,
        }
    }
}

/// A name that is not a text is kept as JSON: no event, however malformed, ends a connection.
fn event_name(name: Value) -> String {
    match name {
        Value::String(name) => name,
        other => other.to_string(),
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
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: Value) -> Message {
        Message::Event(Event { name: name.into(), data })
    }

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
                Some(event("NEWER_THAN_US", json!({"reason": "x"}))),
            ),
            (r#"{"event":"STOP"}"#, Some(event("STOP", Value::Null))),
            (r#"{"event":"STOP","data":"text"}"#, Some(event("STOP", json!("text")))),
            (r#"{"event": 1}"#, Some(event("1", Value::Null))),
            (r#"{"error": "text"}"#, None),
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
