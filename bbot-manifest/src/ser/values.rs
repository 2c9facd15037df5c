//! Serializes the values of one name.

use std::io::Write;

use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeSeq, SerializeTuple, SerializeTupleStruct};

use crate::error::Error;
use crate::ser::refuse::refuse;
use crate::text::Serializer;

/// How a value is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As its type.
    Typed,
    /// As a text, or as a list if there are several, before its type is known.
    Text,
}

/// Serializes a value, or a list of values of one name.
pub(super) struct Values<'s, W> {
    serializer: &'s mut Serializer<W>,
    name: &'s str,
    reading: Reading,
    /// Whether the value may be `None`, which is read where there is no value.
    may_be_none: bool,
    /// Whether the value may be an empty list, which can be read where there is no value.
    may_be_empty: bool,
    in_list: bool,
}

fn not_a_value<T>() -> Result<T, Error> {
    Err(Error::custom("text, number, or list of them expected for a value"))
}

impl<'s, W: Write> Values<'s, W> {
    /// Returns a serializer of a value that must not be absent.
    pub(super) fn new(serializer: &'s mut Serializer<W>, name: &'s str, reading: Reading) -> Self {
        Self { serializer, name, reading, may_be_none: false, may_be_empty: false, in_list: false }
    }

    /// Allows the value to be absent.
    pub(super) fn may_be_absent(self) -> Self {
        Self { may_be_none: true, may_be_empty: true, ..self }
    }

    fn write(self, value: impl AsRef<[u8]>) -> Result<(), Error> {
        if self.name.is_empty() {
            // It would start a manifest.
            return Err(Error::custom("value without a name"));
        }
        if memchr::memchr(b'\r', value.as_ref()).is_some() {
            return Err(Error::custom("CR, which is read as a newline"));
        }
        self.serializer.pair(self.name, value)
    }

    /// Writes a value that is not a text.
    fn write_typed(self, value: &str) -> Result<(), Error> {
        self.check_typed()?;
        self.write(value)
    }

    fn check_typed(&self) -> Result<(), Error> {
        match self.reading {
            Reading::Typed => Ok(()),
            Reading::Text => Err(Error::custom(
                "text or list of texts expected in a tagged enum or flattened map without \
                 flatten::buffered",
            )),
        }
    }

    fn elements(self) -> Result<Elements<'s, W>, Error> {
        if self.in_list {
            return Err(Error::custom("list within a list"));
        }
        Ok(Elements { values: self, count: 0 })
    }

    fn fixed_elements(self, length: usize) -> Result<Elements<'s, W>, Error> {
        if length == 0 {
            return Err(Error::custom("empty tuple or array"));
        }
        self.elements()
    }
}

macro_rules! write_displayed {
    ($($method:ident($type:ty))*) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.write_typed(&value.to_string())
        }
    )*};
}

impl<'s, W: Write> serde::Serializer for Values<'s, W> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'s, W>;
    type SerializeTuple = Elements<'s, W>;
    type SerializeTupleStruct = Elements<'s, W>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    write_displayed! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_u128(u128)
        serialize_f32(f32)
        serialize_f64(f64)
    }

    refuse! { not_a_value:
        serialize_map(Option<usize>) -> Impossible<(), Error>,
        serialize_struct(&'static str, usize) -> Impossible<(), Error>,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>,
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.write(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.write(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.write(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        if self.may_be_none {
            return Ok(());
        }
        Err(Error::custom("None within a list, map, Option or newtype struct"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(Self { may_be_none: false, may_be_empty: false, ..self })
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.write_typed("")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.write_typed("")
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.write(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        // serde takes an absent field for `None` only if that is its own type.
        value.serialize(Self { may_be_none: false, ..self })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Error> {
        not_a_value()
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<'s, W>, Error> {
        self.elements()
    }

    fn serialize_tuple(self, length: usize) -> Result<Elements<'s, W>, Error> {
        self.fixed_elements(length)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Elements<'s, W>, Error> {
        self.fixed_elements(length)
    }
}

/// The elements of a list.
pub(super) struct Elements<'s, W> {
    values: Values<'s, W>,
    count: usize,
}

impl<W: Write> Elements<'_, W> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.count += 1;
        let Values { name, reading, .. } = self.values;
        let mut values = Values::new(&mut *self.values.serializer, name, reading);
        values.in_list = true;
        value.serialize(values)
    }

    fn end(self) -> Result<(), Error> {
        match self.count {
            0 if !self.values.may_be_empty => {
                Err(Error::custom("empty list within a map or an Option"))
            }
            // A single text is not read as a list.
            1 => self.values.check_typed(),
            _ => Ok(()),
        }
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident;)*) => {$(
        impl<W: Write> $trait for Elements<'_, W> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                Elements::end(self)
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
}
