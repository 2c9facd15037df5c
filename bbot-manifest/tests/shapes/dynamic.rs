//! Types and values that exist only at run time, for serde as derived ones are.

use std::cell::RefCell;

use proptest::prelude::*;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple};
use serde::{Deserialize, Serialize, Serializer};

/// A type.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Text,
    Bool,
    Number,
    Float,
    Char,
    Unit,
    /// An enum of unit variants.
    Word,
    Option(Box<Shape>),
    Newtype(Box<Shape>),
    List(Box<Shape>),
    Tuple(Vec<Shape>),
    Map(Box<Shape>, Box<Shape>),
    /// The fields `FIELDS`; an absent list is read as an empty one, as by `#[serde(default)]`.
    Struct(Vec<Shape>),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Dynamic {
    Text(String),
    Bool(bool),
    Number(i64),
    Float(f64),
    Char(char),
    Unit,
    Word(usize),
    None,
    Some(Box<Dynamic>),
    Newtype(Box<Dynamic>),
    /// A list, a tuple, or the fields of a struct.
    List(Vec<Dynamic>),
    Map(Vec<(Dynamic, Dynamic)>),
}

const FIELDS: [&str; 4] = ["a", "b", "c", "d"];
const WORDS: [&str; 3] = ["one", "two", "three"];

thread_local! {
    static SHAPE: RefCell<Vec<Shape>> = const { RefCell::new(Vec::new()) };
}

/// Calls `act`, in which a [`Dynamic`] is serialized and deserialized as a type.
pub(crate) fn with_shape<T>(shape: &Shape, act: impl FnOnce() -> T) -> T {
    SHAPE.with_borrow_mut(|shapes| shapes.push(shape.clone()));
    let result = act();
    SHAPE.with_borrow_mut(Vec::pop);
    result
}

fn current_shape() -> Shape {
    SHAPE.with_borrow(|shapes| shapes.last().unwrap().clone())
}

/// Types of one value.
fn scalars() -> impl Strategy<Value = Shape> {
    prop_oneof![
        4 => Just(Shape::Text),
        1 => Just(Shape::Bool),
        2 => Just(Shape::Number),
        1 => Just(Shape::Float),
        1 => Just(Shape::Char),
        1 => Just(Shape::Unit),
        1 => Just(Shape::Word),
    ]
}

/// Types of a field, whether the format can express them or not.
fn fields() -> impl Strategy<Value = Shape> {
    scalars().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            3 => inner.clone().prop_map(|shape| Shape::Option(Box::new(shape))),
            1 => inner.clone().prop_map(|shape| Shape::Newtype(Box::new(shape))),
            3 => inner.clone().prop_map(|shape| Shape::List(Box::new(shape))),
            1 => prop::collection::vec(inner, 0..3).prop_map(Shape::Tuple),
        ]
    })
}

/// Types of a manifest, or of several, whether the format can express them or not.
pub(crate) fn manifests() -> impl Strategy<Value = Shape> {
    let structs = prop::collection::vec(fields(), 0..=FIELDS.len()).prop_map(Shape::Struct);
    let maps =
        (scalars(), fields()).prop_map(|(key, value)| Shape::Map(Box::new(key), Box::new(value)));
    prop_oneof![3 => structs, 1 => maps].prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|shape| Shape::Option(Box::new(shape))),
            1 => inner.clone().prop_map(|shape| Shape::Newtype(Box::new(shape))),
            2 => inner.clone().prop_map(|shape| Shape::List(Box::new(shape))),
            2 => prop::collection::vec(inner, 0..4).prop_map(Shape::Tuple),
        ]
    })
}

impl Shape {
    /// Returns the values of this type.
    pub(crate) fn values(&self) -> BoxedStrategy<Dynamic> {
        match self {
            Self::Text => {
                let text = prop_oneof![4 => "[a-z0-9 \\\\\n]{0,9}", 1 => "[a\r\n]{0,3}"];
                text.prop_map(Dynamic::Text).boxed()
            }
            Self::Bool => any::<bool>().prop_map(Dynamic::Bool).boxed(),
            Self::Number => any::<i64>().prop_map(Dynamic::Number).boxed(),
            Self::Float => any::<f64>().prop_map(Dynamic::Float).boxed(),
            Self::Char => "[a \\\\\n\r\u{e9}]"
                .prop_map(|text| Dynamic::Char(text.chars().next().unwrap()))
                .boxed(),
            Self::Unit => Just(Dynamic::Unit).boxed(),
            Self::Word => (0..WORDS.len()).prop_map(Dynamic::Word).boxed(),
            Self::Option(inner) => prop_oneof![
                1 => Just(Dynamic::None),
                2 => inner.values().prop_map(|value| Dynamic::Some(Box::new(value))),
            ]
            .boxed(),
            Self::Newtype(inner) => {
                inner.values().prop_map(|value| Dynamic::Newtype(Box::new(value))).boxed()
            }
            Self::List(inner) => {
                prop::collection::vec(inner.values(), 0..4).prop_map(Dynamic::List).boxed()
            }
            Self::Tuple(shapes) | Self::Struct(shapes) => {
                let values: Vec<_> = shapes.iter().map(Self::values).collect();
                values.prop_map(Dynamic::List).boxed()
            }
            Self::Map(key, value) => {
                let entries = prop::collection::vec((key.values(), value.values()), 0..4);
                entries.prop_map(without_repetitions).boxed()
            }
        }
    }
}

/// Returns a map in which each key is once.
fn without_repetitions(entries: Vec<(Dynamic, Dynamic)>) -> Dynamic {
    let mut map: Vec<(Dynamic, Dynamic)> = Vec::new();
    for entry in entries {
        if map.iter().all(|(key, _)| *key != entry.0) {
            map.push(entry);
        }
    }
    Dynamic::Map(map)
}

impl Serialize for Dynamic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Typed(&current_shape(), self).serialize(serializer)
    }
}

/// A value of a type.
struct Typed<'a>(&'a Shape, &'a Dynamic);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (_, Dynamic::Text(text)) => serializer.serialize_str(text),
            (_, Dynamic::Bool(value)) => serializer.serialize_bool(*value),
            (_, Dynamic::Number(value)) => serializer.serialize_i64(*value),
            (_, Dynamic::Float(value)) => serializer.serialize_f64(*value),
            (_, Dynamic::Char(value)) => serializer.serialize_char(*value),
            (_, Dynamic::Unit) => serializer.serialize_unit(),
            (_, Dynamic::Word(index)) => {
                serializer.serialize_unit_variant("Word", 0, WORDS[*index])
            }
            (_, Dynamic::None) => serializer.serialize_none(),
            (Shape::Option(shape), Dynamic::Some(value)) => {
                serializer.serialize_some(&Typed(shape, value))
            }
            (Shape::Newtype(shape), Dynamic::Newtype(value)) => {
                serializer.serialize_newtype_struct("Newtype", &Typed(shape, value))
            }
            (Shape::List(shape), Dynamic::List(values)) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(&Typed(shape, value)))?;
                list.end()
            }
            (Shape::Tuple(shapes), Dynamic::List(values)) => {
                let mut tuple = serializer.serialize_tuple(shapes.len())?;
                let mut elements = shapes.iter().zip(values);
                elements.try_for_each(|(s, v)| tuple.serialize_element(&Typed(s, v)))?;
                tuple.end()
            }
            (Shape::Struct(shapes), Dynamic::List(values)) => {
                let mut fields = serializer.serialize_struct("Struct", shapes.len())?;
                for ((name, shape), value) in FIELDS.into_iter().zip(shapes).zip(values) {
                    fields.serialize_field(name, &Typed(shape, value))?;
                }
                fields.end()
            }
            (Shape::Map(key_shape, shape), Dynamic::Map(entries)) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&Typed(key_shape, key), &Typed(shape, value))?;
                }
                map.end()
            }
            (shape, value) => panic!("{value:?} is not a {shape:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Dynamic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        current_shape().deserialize(deserializer)
    }
}

impl<'de> DeserializeSeed<'de> for &Shape {
    type Value = Dynamic;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        match self {
            Shape::Text => String::deserialize(deserializer).map(Dynamic::Text),
            Shape::Bool => bool::deserialize(deserializer).map(Dynamic::Bool),
            Shape::Number => i64::deserialize(deserializer).map(Dynamic::Number),
            Shape::Float => f64::deserialize(deserializer).map(Dynamic::Float),
            Shape::Char => char::deserialize(deserializer).map(Dynamic::Char),
            Shape::Unit => <()>::deserialize(deserializer).map(|()| Dynamic::Unit),
            Shape::Word => deserializer.deserialize_enum("Word", &WORDS, Typing(self)),
            Shape::Option(_) => deserializer.deserialize_option(Typing(self)),
            Shape::Newtype(_) => deserializer.deserialize_newtype_struct("Newtype", Typing(self)),
            Shape::List(_) => deserializer.deserialize_seq(Typing(self)),
            Shape::Tuple(shapes) => deserializer.deserialize_tuple(shapes.len(), Typing(self)),
            Shape::Map(..) => deserializer.deserialize_map(Typing(self)),
            Shape::Struct(shapes) => {
                deserializer.deserialize_struct("Struct", &FIELDS[..shapes.len()], Typing(self))
            }
        }
    }
}

/// Visits a value of a type.
struct Typing<'a>(&'a Shape);

impl<'de> Visitor<'de> for Typing<'_> {
    type Value = Dynamic;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }

    fn visit_none<E: de::Error>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dynamic, D::Error> {
        let Shape::Option(shape) = self.0 else { panic!("{:?} is not an Option", self.0) };
        shape.deserialize(deserializer).map(|value| Dynamic::Some(Box::new(value)))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Dynamic, D::Error> {
        let Shape::Newtype(shape) = self.0 else { panic!("{:?} is not a newtype", self.0) };
        shape.deserialize(deserializer).map(|value| Dynamic::Newtype(Box::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dynamic, A::Error> {
        let mut values = Vec::new();
        match self.0 {
            Shape::List(shape) => {
                while let Some(value) = seq.next_element_seed(&**shape)? {
                    values.push(value);
                }
            }
            Shape::Tuple(shapes) => {
                for shape in shapes {
                    let value = seq.next_element_seed(shape)?;
                    let length = || de::Error::invalid_length(values.len(), &"a longer tuple");
                    let value = value.ok_or_else(length)?;
                    values.push(value);
                }
            }
            shape => return Err(de::Error::custom(format_args!("{shape:?} expected"))),
        }
        Ok(Dynamic::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dynamic, A::Error> {
        match self.0 {
            Shape::Map(key, value) => {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key_seed(&**key)? {
                    entries.push((key, map.next_value_seed(&**value)?));
                }
                Ok(Dynamic::Map(entries))
            }
            Shape::Struct(shapes) => visit_fields(shapes, map),
            shape => Err(de::Error::custom(format_args!("{shape:?} expected"))),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Dynamic, A::Error> {
        let (word, variant) = data.variant::<String>()?;
        variant.unit_variant()?;
        let index = WORDS.iter().position(|known| **known == *word);
        index.map(Dynamic::Word).ok_or_else(|| de::Error::unknown_variant(&word, &WORDS))
    }
}

/// Reads the fields of a struct, as derived code does.
fn visit_fields<'de, A: MapAccess<'de>>(shapes: &[Shape], mut map: A) -> Result<Dynamic, A::Error> {
    let mut values = vec![None; shapes.len()];
    while let Some(name) = map.next_key::<String>()? {
        let index = FIELDS[..shapes.len()].iter().position(|field| **field == *name);
        let index = index.ok_or_else(|| de::Error::unknown_field(&name, &FIELDS))?;
        values[index] = Some(map.next_value_seed(&shapes[index])?);
    }
    let fields = values.into_iter().zip(shapes).zip(FIELDS);
    let fields = fields.map(|((value, shape), name)| match (value, shape) {
        (Some(value), _) => Ok(value),
        (None, Shape::Option(_)) => Ok(Dynamic::None),
        (None, Shape::List(_)) => Ok(Dynamic::List(Vec::new())),
        (None, Shape::Newtype(shape)) if matches!(**shape, Shape::List(_)) => {
            Ok(Dynamic::Newtype(Box::new(Dynamic::List(Vec::new()))))
        }
        (None, _) => Err(de::Error::missing_field(name)),
    });
    fields.collect::<Result<_, _>>().map(Dynamic::List)
}
