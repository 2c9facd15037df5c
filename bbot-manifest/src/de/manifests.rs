//! Deserializes a list of manifests, and each of them.

use std::borrow::Cow;

use serde::de::value::{BorrowedStrDeserializer, CowStrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::de::source::{Group, Manifests, Record, Source};
use crate::de::values::Value;
use crate::error::Error;
use crate::position::Position;

/// The manifests of a stream that are left.
pub(crate) struct Stream<'m, 's, S>(pub(crate) &'m mut Manifests<'s, S>);

impl<'de, S: Source<'de>> Deserializer<'de> for Stream<'_, '_, S> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { manifests: self.0, all: true })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_next()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { manifests: self.0, all: false })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { manifests: self.0, all: false })
    }

    /// Also what a struct with a flattened map asks for.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let record = self.0.next_record()?;
        let place = |group: &Group<'de>| (group.first.name.clone(), group.first.value_at);
        let places: Vec<_> = record.groups.iter().map(place).collect();
        let end_at = record.end_at;
        visit(record, visitor).map_err(|error| locate(error, &places).or_at(end_at))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let record = self.0.next_record()?;
        let end_at = record.end_at;
        visit(record, visitor).map_err(|error| error.or_at(end_at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq enum identifier ignored_any
    }
}

fn visit<'de, V: Visitor<'de>>(record: Record<'de>, visitor: V) -> Result<V::Value, Error> {
    visitor.visit_map(Pairs { groups: record.groups.into_iter(), value: None })
}

/// Gives an error about a value of a flattened map the value's position.
fn locate(error: Error, places: &[(Cow<'_, str>, Position)]) -> Error {
    let message = error.message();
    let named = |name: &str| {
        let rest = message.strip_prefix("invalid ").and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with(": "))
    };
    match places.iter().find(|(name, _)| named(name)) {
        Some(&(_, at)) => error.or_at(at),
        None => error,
    }
}

/// The elements of a list: manifests, or lists of them.
struct Elements<'m, 's, S> {
    manifests: &'m mut Manifests<'s, S>,
    /// Each manifest that is left is an element.
    all: bool,
}

impl<'de, S: Source<'de>> SeqAccess<'de> for Elements<'_, '_, S> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.all {
            return seed.deserialize(Stream(self.manifests)).map(Some);
        }
        if !self.manifests.is_next()? {
            return Ok(None);
        }
        seed.deserialize(Manifest(self.manifests)).map(Some)
    }
}

/// The next manifest, whatever is asked for.
struct Manifest<'m, 's, S>(&'m mut Manifests<'s, S>);

impl<'de, S: Source<'de>> Deserializer<'de> for Manifest<'_, '_, S> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        Stream(self.0).deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The values of a manifest.
struct Pairs<'de> {
    groups: std::vec::IntoIter<Group<'de>>,
    /// The values whose name has been taken.
    value: Option<Group<'de>>,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some(group) = self.groups.next() else { return Ok(None) };
        let at = group.first.name_at;
        let name = group.first.name.clone();
        self.value = Some(group);
        let key: Result<_, Error> = match name {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            name @ Cow::Owned(_) => seed.deserialize(CowStrDeserializer::new(name)),
        };
        key.map(Some).map_err(|error| error.or_at(at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let group = self.value.take().expect("serde asks for a value after its name");
        let name = group.first.name.clone();
        let at: Position = group.first.value_at;
        seed.deserialize(Value(group)).map_err(|error| error.or_value(&name).or_at(at))
    }
}
