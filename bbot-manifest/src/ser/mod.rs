//! The serde data format: serializes manifests.
//!
//! [`from_str`](crate::de::from_str) describes the types. Whatever is serialized without an error
//! is deserialized as the same value, if the type is the same and a `Vec` that may be empty has
//! `#[serde(default)]`. What a manifest cannot express is an error:
//!
//! * a list within a list, of values as well as of manifests;
//! * `None` within a list, a tuple, a map, an `Option` or a newtype struct, and an empty list
//!   within a map or an `Option`: nothing is written for them. As fields of a struct they are
//!   absent;
//! * an empty tuple or array as a value;
//! * in a tuple of manifests, a manifest after an absent one or after a list;
//! * a CR in a value, which is read as a newline;
//! * the same name in two entries of a map, or in a field and a flattened entry;
//! * in a flattened map or an internally tagged enum, and in a struct with `#[serde(tag)]`, which a
//!   format cannot tell from one, values other than texts and lists of texts; with
//!   [`buffered`](crate::flatten::buffered) there is no such limit.
//!
//! serde does not let a format know that an enum is untagged or a struct flattened. Their values
//! are read as texts: a number in a flattened struct is an error when it is read, and which variant
//! of an untagged enum is read depends on the texts alone. `buffered` is the remedy for both. An
//! empty list as the content of an adjacently tagged enum, too, is an error when it is read.

mod error;
mod key;
mod manifests;
mod pairs;
mod refuse;
mod values;

use std::io::Write;

use serde::Serialize;

use crate::error::Error;
use crate::text::{Lines, Serializer};

use self::manifests::{Manifests, Output};

/// Serializes manifests to a text with [wrapped](Lines::Wrapped) lines; the reverse of
/// [`from_str`](crate::de::from_str).
///
/// # Errors
///
/// A value cannot be written, or it is one of those that [this module](self) excludes.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    to_string_with(value, Lines::Wrapped)
}

/// Serializes manifests to a text; as [`to_string`].
///
/// # Errors
///
/// As [`to_string`].
pub fn to_string_with<T: Serialize + ?Sized>(value: &T, lines: Lines) -> Result<String, Error> {
    let mut bytes = Vec::new();
    to_writer_with(&mut bytes, value, lines)?;
    Ok(crate::text::written_text(bytes))
}

/// Serializes manifests to a writer; as [`to_string`].
///
/// # Errors
///
/// As [`to_string`], or the writer fails. What precedes the error has been written.
pub fn to_writer<T: Serialize + ?Sized>(writer: impl Write, value: &T) -> Result<(), Error> {
    to_writer_with(writer, value, Lines::Wrapped)
}

/// Serializes manifests to a writer; as [`to_string`].
///
/// # Errors
///
/// As [`to_string`], or the writer fails. What precedes the error has been written.
pub fn to_writer_with<T: Serialize + ?Sized>(
    writer: impl Write,
    value: &T,
    lines: Lines,
) -> Result<(), Error> {
    let mut output = Output::new(Serializer::new(writer, lines));
    value.serialize(Manifests::new(&mut output))?;
    output.finish()
}
