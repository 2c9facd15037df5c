//! Values other than texts where serde reads a value before it knows its type.
//!
//! serde keeps the fields of a `#[serde(flatten)]` struct, and the variants of an untagged or
//! internally tagged enum, until it knows their types. The values of a manifest are texts until
//! then: a `u64` is refused, and so is a `Vec` with one element. The format cannot guess the types,
//! as `1.10` is a version in one place and a number in another. This module reads the values as
//! their types require, and writes them as texts. It takes structs and maps.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Limits {
//!     ram_minimum: Option<u64>,
//!     #[serde(default)]
//!     core: Vec<u32>,
//! }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Machine {
//!     name: String,
//!     #[serde(flatten, with = "bbot_manifest::flatten::buffered")]
//!     limits: Limits,
//!     #[serde(flatten)]
//!     others: BTreeMap<String, String>,
//! }
//!
//! let text = ": 1\nname: linux\nram_minimum: 1024\ncore: 7\nrelease: 1.10\n";
//! let machine: Machine = bbot_manifest::from_str(text)?;
//! assert_eq!(machine.limits, Limits { ram_minimum: Some(1024), core: vec![7] });
//! assert_eq!(machine.others["release"], "1.10");
//! assert_eq!(bbot_manifest::to_string(&machine)?, text);
//! # Ok::<(), bbot_manifest::Error>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

use crate::de::{Entry, Group, Value};
use crate::error::Error;
use crate::flatten::texts::Fields;
use crate::position::Position;

/// Deserializes a struct or map whose values are texts.
///
/// # Errors
///
/// A value is not a text or a list of texts, or not what its type asks for.
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::deserialize(Buffered(deserializer))
}

/// Serializes a struct or map, with its values as texts.
///
/// # Errors
///
/// The value is not a struct or map, a value within it is not a text, a number or a list of them,
/// or the serializer fails.
pub fn serialize<T: Serialize + ?Sized, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.serialize(Fields(serializer))
}

/// Deserializes a map of texts.
struct Buffered<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Buffered<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(FieldsVisitor(visitor))
    }

    /// Unlike those of a map, the fields of a struct are not left for the next flattened field.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, FieldsVisitor(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Visits the fields.
struct FieldsVisitor<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for FieldsVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Pairs { map, name: String::new() })
    }
}

/// The fields with their values.
struct Pairs<A> {
    map: A,
    /// The name that was read last.
    name: String,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Pairs<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(name) = self.map.next_key()? else { return Ok(None) };
        self.name = name;
        seed.deserialize(self.name.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        let Texts { first, others } = self.map.next_value()?;
        let entry = |value| Entry {
            name: Cow::Owned(self.name.clone()),
            value,
            name_at: Position::START,
            value_at: Position::START,
        };
        let group = Group { first: entry(first), others: others.into_iter().map(entry).collect() };
        // The deserializer of the manifest finds the position by the name.
        let named = |error: Error| {
            A::Error::custom(format_args!("invalid {}: {}", self.name, error.message()))
        };
        seed.deserialize(Value(group)).map_err(named)
    }
}

/// The values of one name.
struct Texts<'de> {
    first: Cow<'de, str>,
    others: Vec<Cow<'de, str>>,
}

impl<'de> Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Texts<'de>, E> {
        Ok(Texts { first: Cow::Owned(text.to_owned()), others: Vec::new() })
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Texts<'de>, E> {
        Ok(Texts { first: Cow::Borrowed(text), others: Vec::new() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Texts<'de>, A::Error> {
        let Some(Texts { first, mut others }) = texts.next_element()? else {
            return Err(A::Error::invalid_length(0, &self));
        };
        while let Some(Texts { first: text, .. }) = texts.next_element()? {
            others.push(text);
        }
        Ok(Texts { first, others })
    }
}
