//! The data of an event, read field by field.

use serde_json::{Map, Value};

use super::{DATA_MAX, TEXT_MAX};

/// The fields of a JSON object. What is missing or of another type reads as empty.
#[derive(Debug, Default)]
pub(super) struct Data(Map<String, Value>);

impl Data {
    pub(super) fn new(data: Value) -> Data {
        match data {
            Value::Object(fields) => Data(fields),
            _ => Data::default(),
        }
    }

    /// Returns the text `key`, cut to [`TEXT_MAX`] bytes.
    pub(super) fn text(&self, key: &str) -> String {
        bounded(self.0.get(key).and_then(Value::as_str).unwrap_or_default(), TEXT_MAX)
    }

    /// Returns the value called by the text `key`.
    pub(super) fn named<T: From<String>>(&self, key: &str) -> T {
        T::from(self.text(key))
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        self.flag(key).unwrap_or(false)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_u64()
    }

    pub(super) fn object(&self, key: &str) -> Option<Data> {
        self.0.get(key)?.as_object().cloned().map(Data)
    }

    /// Returns all of it as JSON, cut to [`TEXT_MAX`] bytes.
    pub(super) fn to_text(&self) -> String {
        let text = serde_json::to_string(&self.0).unwrap_or_default();
        bounded(&text, TEXT_MAX)
    }
}

/// Returns `data` as JSON, unless there is none or too much of it.
pub(super) fn text_of(data: &Value) -> Option<String> {
    if data.is_null() {
        return None;
    }
    Some(data.to_string()).filter(|text| text.len() <= DATA_MAX)
}

/// Returns the beginning of `text` that has at most `limit` bytes and whole characters.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    let ends = text.char_indices().map(|(start, character)| start + character.len_utf8());
    let end = ends.take_while(|&end| end <= limit).last().unwrap_or(0);
    text[..end].to_owned()
}
