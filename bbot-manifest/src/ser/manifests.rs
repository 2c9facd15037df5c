//! Serializes manifests and their values.

use std::io::Write;

use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple,
    SerializeTupleStruct,
};

use crate::error::Error;
use crate::ser::key::Key;
use crate::text::Serializer;

/// A stream of manifests.
pub(crate) struct Stream<'s, W>(pub(crate) &'s mut Serializer<W>);

/// Values of one name.
struct Value<'s, W> {
    serializer: &'s mut Serializer<W>,
    name: &'s str,
}

/// The values of a manifest.
pub(crate) struct Pairs<'s, W> {
    serializer: &'s mut Serializer<W>,
    name: String,
}

fn not_a_manifest<T>() -> Result<T, Error> {
    Err(Error::custom("struct, map, or list of them expected for a manifest"))
}

fn not_a_value<T>() -> Result<T, Error> {
    Err(Error::custom("text, number, or list of them expected for a value"))
}

macro_rules! refuse {
    ($refusal:ident: $($method:ident($($type:ty),*) -> $ok:ty,)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, Error> {
            $refusal()
        }
    )*};
}

impl<'s, W: Write> serde::Serializer for Stream<'s, W> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Pairs<'s, W>;
    type SerializeStruct = Pairs<'s, W>;
    type SerializeStructVariant = Impossible<(), Error>;

    refuse! { not_a_manifest:
        serialize_bool(bool) -> (),
        serialize_i8(i8) -> (),
        serialize_i16(i16) -> (),
        serialize_i32(i32) -> (),
        serialize_i64(i64) -> (),
        serialize_u8(u8) -> (),
        serialize_u16(u16) -> (),
        serialize_u32(u32) -> (),
        serialize_u64(u64) -> (),
        serialize_f32(f32) -> (),
        serialize_f64(f64) -> (),
        serialize_char(char) -> (),
        serialize_str(&str) -> (),
        serialize_bytes(&[u8]) -> (),
        serialize_unit() -> (),
        serialize_unit_struct(&'static str) -> (),
        serialize_unit_variant(&'static str, u32, &'static str) -> (),
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>,
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Error> {
        not_a_manifest()
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple(self, _length: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Pairs<'s, W>, Error> {
        self.0.start()?;
        Ok(Pairs { serializer: self.0, name: String::new() })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Pairs<'s, W>, Error> {
        self.serialize_map(None)
    }
}

macro_rules! list {
    ($($trait:ident $method:ident for $type:ident |$list:ident| $element:expr;)*) => {$(
        impl<W: Write> $trait for $type<'_, W> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                let $list = self;
                value.serialize($element)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

list! {
    SerializeSeq serialize_element for Stream |list| Stream(&mut *list.0);
    SerializeTuple serialize_element for Stream |list| Stream(&mut *list.0);
    SerializeTupleStruct serialize_field for Stream |list| Stream(&mut *list.0);
    SerializeSeq serialize_element for Value
        |list| Value { serializer: &mut *list.serializer, name: list.name };
    SerializeTuple serialize_element for Value
        |list| Value { serializer: &mut *list.serializer, name: list.name };
    SerializeTupleStruct serialize_field for Value
        |list| Value { serializer: &mut *list.serializer, name: list.name };
}

impl<W: Write> SerializeMap for Pairs<'_, W> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.name = key.serialize(Key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let name = &self.name;
        let result = value.serialize(Value { serializer: &mut *self.serializer, name });
        result.map_err(|error| error.or_value(name))
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

impl<W: Write> SerializeStruct for Pairs<'_, W> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let result = value.serialize(Value { serializer: &mut *self.serializer, name });
        result.map_err(|error| error.or_value(name))
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

impl<W: Write> Value<'_, W> {
    fn write(self, value: impl AsRef<[u8]>) -> Result<(), Error> {
        if self.name.is_empty() {
            // It would start a manifest.
            return Err(Error::custom("value without a name"));
        }
        self.serializer.pair(self.name, value)
    }
}

macro_rules! write_displayed {
    ($($method:ident($type:ty))*) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.write(value.to_string())
        }
    )*};
}

impl<W: Write> serde::Serializer for Value<'_, W> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
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
        serialize_char(char)
    }

    refuse! { not_a_value:
        serialize_map(Option<usize>) -> Impossible<(), Error>,
        serialize_struct(&'static str, usize) -> Impossible<(), Error>,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Error>,
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.write(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.write(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.write("")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.write("")
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
        value.serialize(self)
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

    fn serialize_seq(self, _length: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple(self, _length: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self, Error> {
        Ok(self)
    }
}
