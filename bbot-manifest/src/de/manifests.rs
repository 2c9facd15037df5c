//! Deserializes manifests, and lists and tuples of them.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::de::key::Key;
use crate::de::source::{Group, Manifests, Record, Source};
use crate::de::values::Value;
use crate::error::Error;
use crate::position::Position;

/// Deserializes the rest of the manifests of a stream.
pub(super) struct Stream<'m, 's, S> {
    manifests: &'m mut Manifests<'s, S>,
    /// Whether this is an element of a tuple, in which others can follow.
    in_tuple: bool,
}

impl<'m, 's, S> Stream<'m, 's, S> {
    /// Returns a deserializer of all manifests of a stream.
    pub(super) fn new(manifests: &'m mut Manifests<'s, S>) -> Self {
        Self { manifests, in_tuple: false }
    }
}

impl<'de, S: Source<'de>> Deserializer<'de> for Stream<'_, '_, S> {
    type Error = Error;

    /// Deserializes the only manifest, or, if there are several or none, a list of them.
    ///
    /// In a tuple it is always one manifest.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut elements = Elements::list(self.manifests);
        if !elements.manifests.is_next()? {
            return visitor.visit_seq(elements);
        }
        let record = elements.manifests.next_record()?;
        if self.in_tuple || !elements.manifests.is_next()? {
            return visit_any(record, visitor);
        }
        elements.first = Some(record);
        visitor.visit_seq(elements)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements::list(self.manifests))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.manifests.is_next()? { visitor.visit_some(self) } else { visitor.visit_none() }
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
        visitor.visit_seq(Elements::tuple(self.manifests))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements::tuple(self.manifests))
    }

    /// serde asks for a map, too, if a field of a struct is flattened.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_any(self.manifests.next_record()?, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let record = self.manifests.next_record()?;
        let end_at = record.end_at;
        visit(record, visitor).map_err(|error| error.or_at(end_at))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct enum identifier ignored_any
    }
}

fn visit<'de, V: Visitor<'de>>(record: Record<'de>, visitor: V) -> Result<V::Value, Error> {
    visitor.visit_map(Pairs { groups: record.groups.into_iter(), value: None })
}

/// Deserializes a manifest as a map, whose values serde may keep and read later.
fn visit_any<'de, V: Visitor<'de>>(record: Record<'de>, visitor: V) -> Result<V::Value, Error> {
    let place = |group: &Group<'de>| (group.first.name.clone(), group.first.value_at);
    let places: Vec<_> = record.groups.iter().map(place).collect();
    let end_at = record.end_at;
    visit(record, visitor).map_err(|error| locate(error, &places).or_at(end_at))
}

/// Sets the position of an error about a value that was read later, which begins with its name.
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

/// The elements of a list, which are manifests, or of a tuple, which can be lists of them.
struct Elements<'de, 'm, 's, S> {
    manifests: &'m mut Manifests<'s, S>,
    /// The first manifest of a list, if it has been read.
    first: Option<Record<'de>>,
    is_tuple: bool,
}

impl<'m, 's, S> Elements<'_, 'm, 's, S> {
    fn list(manifests: &'m mut Manifests<'s, S>) -> Self {
        Self { manifests, first: None, is_tuple: false }
    }

    fn tuple(manifests: &'m mut Manifests<'s, S>) -> Self {
        Self { manifests, first: None, is_tuple: true }
    }
}

impl<'de, S: Source<'de>> SeqAccess<'de> for Elements<'de, '_, '_, S> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if self.is_tuple {
            let manifests = &mut *self.manifests;
            return seed.deserialize(Stream { manifests, in_tuple: true }).map(Some);
        }
        let record = match self.first.take() {
            Some(first) => first,
            None if self.manifests.is_next()? => self.manifests.next_record()?,
            None => return Ok(None),
        };
        seed.deserialize(Manifest(record)).map(Some)
    }
}

/// Deserializes a manifest, as an element of a list.
struct Manifest<'de>(Record<'de>);

impl<'de> Deserializer<'de> for Manifest<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_any(self.0, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let end_at = self.0.end_at;
        visit(self.0, visitor).map_err(|error| error.or_at(end_at))
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
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The values of a manifest.
struct Pairs<'de> {
    groups: std::vec::IntoIter<Group<'de>>,
    /// The values whose name has been read.
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
        let key = Key(group.first.name.clone());
        self.value = Some(group);
        seed.deserialize(key).map(Some).map_err(|error: Error| error.or_at(at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let group = self.value.take().expect("serde asks for a value after its name");
        let name = group.first.name.clone();
        let at: Position = group.first.value_at;
        seed.deserialize(Value(group)).map_err(|error| error.or_value(&name).or_at(at))
    }
}
