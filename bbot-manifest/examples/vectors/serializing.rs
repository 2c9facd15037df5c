//! Vectors of the serializer.

use bbot_manifest::text::decode_base64;
use bbot_manifest::{Error, Lines, Serializer};
use serde_json::{Value, json};

pub(crate) fn serialize(vector: &Value) -> Value {
    let lines = if vector["long_lines"] == true { Lines::Long } else { Lines::Wrapped };
    let mut text = Vec::new();
    let mut serializer = Serializer::new(&mut text, lines);
    let result = match vector["manifests"].get("raw") {
        Some(raw) => write_raw(&mut serializer, raw),
        None => write_manifests(&mut serializer, &vector["manifests"]),
    };
    drop(serializer);
    match result {
        Ok(()) => json!({ "ok": String::from_utf8_lossy(&text) }),
        Err(error) => json!({ "error": error.message() }),
    }
}

fn write_raw(serializer: &mut Serializer<&mut Vec<u8>>, pairs: &Value) -> Result<(), Error> {
    items(pairs).try_for_each(|pair| match items(pair).map(bytes).collect::<Vec<_>>().as_slice() {
        [_, _, comment] => serializer.comment(comment),
        [name, value] => serializer.pair(name, value),
        _ => Ok(()),
    })
}

fn write_manifests(serializer: &mut Serializer<&mut Vec<u8>>, list: &Value) -> Result<(), Error> {
    for manifest in items(list) {
        let versioned = items(manifest).next().is_some_and(|pair| pair[0] == "");
        if !versioned {
            serializer.start()?;
        }
        write_raw(serializer, manifest)?;
        serializer.pair("", "")?;
    }
    serializer.pair("", "")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Returns the bytes of a text, which may be `{"b64": "..."}`.
fn bytes(text: &Value) -> Vec<u8> {
    match text["b64"].as_str() {
        Some(encoded) => decode_base64(encoded).unwrap_or_default(),
        None => text.as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}
