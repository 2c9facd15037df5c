//! Deserializes the values of one name.

use std::borrow::Cow;

use serde::de::value::{BorrowedStrDeserializer, CowStrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use crate::de::source::{Entry, Group};
use crate::error::{Error, ErrorKind};

/// Deserializes the values of one name: a list, or a single value.
pub(crate) struct Value<'de>(pub(crate) Group<'de>);

impl<'de> Value<'de> {
    /// Returns the value, which must be the only one of its name.
    fn single(self) -> Result<Cow<'de, str>, Error> {
        match self.0.others.first() {
            None => Ok(self.0.first.value),
            Some(again) => {
                let kind = ErrorKind::Redefinition { value: again.name.clone().into_owned() };
                Err(Error::at(again.name_at, kind))
            }
        }
    }
}

macro_rules! parse {
    ($($method:ident $visit:ident $expected:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.single()?.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Error::custom(concat!($expected, " expected"))),
            }
        }
    )*};
}

macro_rules! text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.single()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'de> {
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
        deserialize_char visit_char "character",
    }

    text! { deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.others.is_empty() {
            self.deserialize_str(visitor)
        } else {
            self.deserialize_seq(visitor)
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.single()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.single()?.is_empty() {
            visitor.visit_unit()
        } else {
            Err(Error::custom("no text expected"))
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let others = self.0.others.into_iter();
        let mut values = Values { first: Some(self.0.first), others };
        let list = visitor.visit_seq(&mut values)?;
        match values.next() {
            None => Ok(list),
            // A tuple or array takes as many as it has elements.
            Some(more) => {
                let error: Error = Error::custom("fewer values expected");
                Err(error.or_at(more.value_at))
            }
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.single()? {
            Cow::Borrowed(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            text @ Cow::Owned(_) => visitor.visit_enum(CowStrDeserializer::new(text)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// The values of one name as a list.
struct Values<'de> {
    first: Option<Entry<'de>>,
    others: std::vec::IntoIter<Entry<'de>>,
}

impl<'de> Values<'de> {
    fn next(&mut self) -> Option<Entry<'de>> {
        self.first.take().or_else(|| self.others.next())
    }
}

impl<'de> SeqAccess<'de> for &mut Values<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(entry) = self.next() else { return Ok(None) };
        let at = entry.value_at;
        let value = seed.deserialize(Value(Group { first: entry, others: Vec::new() }));
        value.map(Some).map_err(|error| error.or_at(at))
    }
}
