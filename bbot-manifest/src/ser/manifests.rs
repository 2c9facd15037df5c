//! Serializes manifests, and lists and tuples of them.

use std::io::Write;

use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeSeq, SerializeTuple, SerializeTupleStruct};

use crate::error::Error;
use crate::ser::pairs::{Layout, Pairs};
use crate::ser::refuse::refuse;
use crate::text::Serializer;

/// The stream that is written.
pub(super) struct Output<W> {
    serializer: Serializer<W>,
    manifests: u64,
    /// Why no manifest can follow: it would be read as a part of what is before it.
    closed: Option<&'static str>,
}

impl<W: Write> Output<W> {
    pub(super) fn new(serializer: Serializer<W>) -> Self {
        Self { serializer, manifests: 0, closed: None }
    }

    /// Starts a manifest.
    fn start(&mut self) -> Result<&mut Serializer<W>, Error> {
        if let Some(before) = self.closed {
            return Err(Error::custom(format_args!("manifest after {before} in a tuple")));
        }
        self.manifests += 1;
        self.serializer.start()?;
        Ok(&mut self.serializer)
    }

    /// Ends the stream.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.serializer.finish().map(drop)
    }
}

/// Serializes a manifest or a list of them.
pub(super) struct Manifests<'s, W> {
    output: &'s mut Output<W>,
    /// Whether this is an element of a list, for which there must be a manifest.
    in_list: bool,
    /// Whether this is in an `Option`, for which there must be a manifest.
    in_option: bool,
}

impl<'s, W: Write> Manifests<'s, W> {
    /// Returns a serializer of all that the stream has.
    pub(super) fn new(output: &'s mut Output<W>) -> Self {
        Self { output, in_list: false, in_option: false }
    }

    fn elements(self, in_list: bool) -> Result<Elements<'s, W>, Error> {
        if self.in_list {
            return Err(Error::custom("list within a list of manifests"));
        }
        let before = self.output.manifests;
        Ok(Elements { output: self.output, in_list, in_option: self.in_option, before })
    }

    fn pairs(self, layout: Layout) -> Result<Pairs<'s, W>, Error> {
        Ok(Pairs::new(self.output.start()?, layout))
    }
}

fn not_a_manifest<T>() -> Result<T, Error> {
    Err(Error::custom("struct, map, or list of them expected for a manifest"))
}

impl<'s, W: Write> serde::Serializer for Manifests<'s, W> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'s, W>;
    type SerializeTuple = Elements<'s, W>;
    type SerializeTupleStruct = Elements<'s, W>;
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
        serialize_i128(i128) -> (),
        serialize_u8(u8) -> (),
        serialize_u16(u16) -> (),
        serialize_u32(u32) -> (),
        serialize_u64(u64) -> (),
        serialize_u128(u128) -> (),
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
        if self.in_list || self.in_option {
            return Err(Error::custom("None within a list or an Option"));
        }
        self.output.closed.get_or_insert("an absent one");
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(Self { in_option: true, ..self })
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

    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<'s, W>, Error> {
        self.elements(true)
    }

    fn serialize_tuple(self, _length: usize) -> Result<Elements<'s, W>, Error> {
        self.elements(false)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Elements<'s, W>, Error> {
        self.elements(false)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Pairs<'s, W>, Error> {
        // serde announces no length for a struct with something flattened.
        self.pairs(if length.is_some() { Layout::Map } else { Layout::Flattened })
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Pairs<'s, W>, Error> {
        self.pairs(Layout::Struct)
    }
}

/// The elements of a list, or of a tuple.
pub(super) struct Elements<'s, W> {
    output: &'s mut Output<W>,
    in_list: bool,
    in_option: bool,
    /// The number of manifests before.
    before: u64,
}

impl<W: Write> Elements<'_, W> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let in_list = self.in_list;
        value.serialize(Manifests { output: &mut *self.output, in_list, in_option: false })
    }

    fn end(self) -> Result<(), Error> {
        if self.in_option && self.output.manifests == self.before {
            return Err(Error::custom("empty list within an Option"));
        }
        if self.in_list {
            self.output.closed.get_or_insert("a list");
        }
        Ok(())
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
