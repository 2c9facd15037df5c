//! Serializes the values of a manifest.

use std::collections::HashSet;
use std::io::Write;

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeStruct};

use crate::error::{Error, ErrorKind};
use crate::ser::key::Key;
use crate::ser::values::{Reading, Values};
use crate::text::Serializer;

/// What a manifest is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Struct,
    Map,
    /// A struct of which a field is flattened.
    Flattened,
}

/// Serializes the values of a manifest.
pub(super) struct Pairs<'s, W> {
    serializer: &'s mut Serializer<W>,
    layout: Layout,
    /// The manifest is an internally tagged enum: its values are read before their types are known.
    tagged: bool,
    /// The names of a map or flattened struct, each of which must be there once.
    names: HashSet<String>,
    /// The name of the next value.
    name: String,
    fields: usize,
}

impl<'s, W: Write> Pairs<'s, W> {
    pub(super) fn new(serializer: &'s mut Serializer<W>, layout: Layout) -> Self {
        let (names, name) = (HashSet::new(), String::new());
        Self { serializer, layout, tagged: false, names, name, fields: 0 }
    }

    /// Serializes the value of a field, which may be absent.
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        // The tag of an internally tagged enum is its first field, and the only one whose value
        // the code that serde derives passes as a `str`: it passes the other fields by reference,
        // and their types are sized.
        self.tagged |= self.fields == 0 && is_unsized::<T>();
        self.fields += 1;
        let reading = if self.tagged { Reading::Text } else { Reading::Typed };
        let values = Values::new(&mut *self.serializer, name, reading);
        value.serialize(values.may_be_absent()).map_err(|error| error.or_value(name))
    }

    /// Serializes the value of an entry of a map, which must be there.
    fn entry<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.fields += 1;
        let typed = self.layout == Layout::Map && !self.tagged;
        let reading = if typed { Reading::Typed } else { Reading::Text };
        let values = Values::new(&mut *self.serializer, name, reading);
        value.serialize(values).map_err(|error| error.or_value(name))
    }

    /// Returns the name that a key is written as.
    fn name<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<String, Error> {
        let name = key.serialize(Key { text_only: self.layout == Layout::Flattened })?;
        if self.names.insert(name.clone()) {
            Ok(name)
        } else {
            Err(Error::new(ErrorKind::Redefinition { value: name }))
        }
    }
}

/// Whether references to `T` have two words, as those to `str` have.
fn is_unsized<T: ?Sized>() -> bool {
    size_of::<&T>() > size_of::<&()>()
}

impl<W: Write> SerializeMap for Pairs<'_, W> {
    type Ok = ();
    type Error = Error;

    /// Serializes an entry of a map, or a field of a struct with something flattened.
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), Error> {
        let name = self.name(key)?;
        // The code that serde derives passes the name of a field as a `str`; a map passes
        // references to its keys, whose type is sized.
        if is_unsized::<K>() { self.field(&name, value) } else { self.entry(&name, value) }
    }

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.name = self.name(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let name = std::mem::take(&mut self.name);
        self.entry(&name, value)
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
        self.field(name, value)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}
