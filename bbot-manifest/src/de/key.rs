//! Deserializes the names of values as the keys of maps.

use std::borrow::Cow;

use serde::de::value::{BorrowedStrDeserializer, CowStrDeserializer};
use serde::de::{Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::Error;

/// Deserializes a name.
pub(super) struct Key<'de>(pub(super) Cow<'de, str>);

macro_rules! parse {
    ($($method:ident $visit:ident $expected:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Error::custom(concat!($expected, " expected for a name"))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    parse! {
        deserialize_bool visit_bool "true or false",
        deserialize_i8 visit_i8 "number",
        deserialize_i16 visit_i16 "number",
        deserialize_i32 visit_i32 "number",
        deserialize_i64 visit_i64 "number",
        deserialize_i128 visit_i128 "number",
        deserialize_u8 visit_u8 "number",
        deserialize_u16 visit_u16 "number",
        deserialize_u32 visit_u32 "number",
        deserialize_u64 visit_u64 "number",
        deserialize_u128 visit_u128 "number",
        deserialize_f32 visit_f32 "number",
        deserialize_f64 visit_f64 "number",
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(name) => visitor.visit_borrowed_str(name),
            Cow::Owned(name) => visitor.visit_string(name),
        }
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

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            name @ Cow::Owned(_) => visitor.visit_enum(CowStrDeserializer::new(name)),
        }
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}
