//! Serializes the values of structs and maps as texts.

use serde::ser::{
    Error, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple,
    SerializeTupleStruct, Serializer,
};

/// Serializes a struct or map, and its values as [`Text`].
pub(super) struct Fields<S>(pub(super) S);

/// A value that is serialized as a text; a list, as a text for each element.
struct Text<'a, T: ?Sized>(&'a T);

/// Serializes a value as a text, or as a list of texts.
///
/// A list of one text is written as that text, which is the same in a manifest.
struct Texts<S>(S);

/// The texts of a list.
struct Elements<S> {
    serializer: S,
    texts: Vec<String>,
}

/// Returns the text of an element.
struct Element<E>(std::marker::PhantomData<E>);

fn refused<T, E: Error>(expected: &str) -> Result<T, E> {
    Err(E::custom(format_args!("{expected} expected")))
}

/// Implements methods of `Serializer` that return an error.
macro_rules! refuse {
    ($expected:literal: $($method:ident($($type:ty),*) -> $ok:ty,)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, Self::Error> {
            refused($expected)
        }
    )*};
}

/// Implements the method for newtype variants, which returns an error.
macro_rules! refuse_newtype_variant {
    ($expected:literal -> $ok:ty) => {
        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _name: &'static str,
            _index: u32,
            _variant: &'static str,
            _value: &T,
        ) -> Result<$ok, Self::Error> {
            refused($expected)
        }
    };
}

type No<S> = Impossible<<S as Serializer>::Ok, <S as Serializer>::Error>;

impl<S: Serializer> Serializer for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = No<S>;
    type SerializeTuple = No<S>;
    type SerializeTupleStruct = No<S>;
    type SerializeTupleVariant = No<S>;
    type SerializeMap = Fields<S::SerializeMap>;
    type SerializeStruct = Fields<S::SerializeStruct>;
    type SerializeStructVariant = No<S>;

    refuse! { "struct or map":
        serialize_bool(bool) -> S::Ok,
        serialize_i8(i8) -> S::Ok,
        serialize_i16(i16) -> S::Ok,
        serialize_i32(i32) -> S::Ok,
        serialize_i64(i64) -> S::Ok,
        serialize_u8(u8) -> S::Ok,
        serialize_u16(u16) -> S::Ok,
        serialize_u32(u32) -> S::Ok,
        serialize_u64(u64) -> S::Ok,
        serialize_f32(f32) -> S::Ok,
        serialize_f64(f64) -> S::Ok,
        serialize_char(char) -> S::Ok,
        serialize_str(&str) -> S::Ok,
        serialize_bytes(&[u8]) -> S::Ok,
        serialize_none() -> S::Ok,
        serialize_unit() -> S::Ok,
        serialize_unit_struct(&'static str) -> S::Ok,
        serialize_unit_variant(&'static str, u32, &'static str) -> S::Ok,
        serialize_seq(Option<usize>) -> No<S>,
        serialize_tuple(usize) -> No<S>,
        serialize_tuple_struct(&'static str, usize) -> No<S>,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No<S>,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No<S>,
    }

    refuse_newtype_variant! { "struct or map" -> S::Ok }

    fn serialize_some<T: Serialize + ?Sized>(self, _value: &T) -> Result<S::Ok, S::Error> {
        refused("struct or map")
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(length).map(Fields)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, length).map(Fields)
    }
}

impl<M: SerializeMap> SerializeMap for Fields<M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), M::Error> {
        self.0.serialize_entry(key, &Text(value))
    }

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), M::Error> {
        self.0.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), M::Error> {
        self.0.serialize_value(&Text(value))
    }

    fn end(self) -> Result<M::Ok, M::Error> {
        self.0.end()
    }
}

impl<F: SerializeStruct> SerializeStruct for Fields<F> {
    type Ok = F::Ok;
    type Error = F::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), F::Error> {
        self.0.serialize_field(name, &Text(value))
    }

    fn end(self) -> Result<F::Ok, F::Error> {
        self.0.end()
    }
}

impl<T: Serialize + ?Sized> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Texts(serializer))
    }
}

macro_rules! displayed {
    ($ok:ty: $($method:ident($type:ty))*) => {$(
        fn $method(self, value: $type) -> Result<$ok, Self::Error> {
            self.serialize_str(&value.to_string())
        }
    )*};
}

macro_rules! scalars {
    ($ok:ty) => {
        displayed! { $ok:
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

        fn serialize_bytes(self, value: &[u8]) -> Result<$ok, Self::Error> {
            let text = std::str::from_utf8(value).map_err(Self::Error::custom)?;
            self.serialize_str(text)
        }

        fn serialize_unit(self) -> Result<$ok, Self::Error> {
            self.serialize_str("")
        }

        fn serialize_unit_struct(self, _name: &'static str) -> Result<$ok, Self::Error> {
            self.serialize_str("")
        }

        fn serialize_unit_variant(
            self,
            _name: &'static str,
            _index: u32,
            variant: &'static str,
        ) -> Result<$ok, Self::Error> {
            self.serialize_str(variant)
        }
    };
}

impl<S: Serializer> Serializer for Texts<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Elements<S>;
    type SerializeTuple = Elements<S>;
    type SerializeTupleStruct = Elements<S>;
    type SerializeTupleVariant = No<S>;
    type SerializeMap = No<S>;
    type SerializeStruct = No<S>;
    type SerializeStructVariant = No<S>;

    scalars! { S::Ok }

    refuse! { "text, number, or list of them":
        serialize_map(Option<usize>) -> No<S>,
        serialize_struct(&'static str, usize) -> No<S>,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No<S>,
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No<S>,
    }

    refuse_newtype_variant! { "text, number, or list of them" -> S::Ok }

    fn serialize_str(self, value: &str) -> Result<S::Ok, S::Error> {
        self.0.serialize_str(value)
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Text(value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Text(value))
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<S>, S::Error> {
        Ok(Elements { serializer: self.0, texts: Vec::new() })
    }

    fn serialize_tuple(self, length: usize) -> Result<Elements<S>, S::Error> {
        if length == 0 { refused("tuple or array with elements") } else { self.serialize_seq(None) }
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        length: usize,
    ) -> Result<Elements<S>, S::Error> {
        self.serialize_tuple(length)
    }
}

impl<S: Serializer> Elements<S> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.texts.push(value.serialize(Element(std::marker::PhantomData))?);
        Ok(())
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        match &*self.texts {
            [text] => self.serializer.serialize_str(text),
            texts => self.serializer.collect_seq(texts),
        }
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident;)*) => {$(
        impl<S: Serializer> $trait for Elements<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.element(value)
            }

            fn end(self) -> Result<S::Ok, S::Error> {
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

impl<E: Error> Serializer for Element<E> {
    type Ok = String;
    type Error = E;
    type SerializeSeq = Impossible<String, E>;
    type SerializeTuple = Impossible<String, E>;
    type SerializeTupleStruct = Impossible<String, E>;
    type SerializeTupleVariant = Impossible<String, E>;
    type SerializeMap = Impossible<String, E>;
    type SerializeStruct = Impossible<String, E>;
    type SerializeStructVariant = Impossible<String, E>;

    scalars! { String }

    refuse! { "text or number in a list":
        serialize_none() -> String,
        serialize_seq(Option<usize>) -> Self::SerializeSeq,
        serialize_tuple(usize) -> Self::SerializeTuple,
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct,
        serialize_map(Option<usize>) -> Self::SerializeMap,
        serialize_struct(&'static str, usize) -> Self::SerializeStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeTupleVariant,
        serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeStructVariant,
    }

    refuse_newtype_variant! { "text or number in a list" -> String }

    fn serialize_str(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<String, E> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<String, E> {
        value.serialize(self)
    }
}
