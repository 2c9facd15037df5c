//! The serde data format: serializes manifests.

mod error;
mod key;
mod manifests;

use std::io::Write;

use serde::Serialize;

use crate::error::Error;
use crate::text::{Lines, Serializer};

/// Serializes manifests to a text with lines of ordinary length; the reverse of [`from_str`](crate::de::from_str).
///
/// # Errors
///
/// A value cannot be written, or the type is not one of those that [`from_str`](crate::de::from_str) describes.
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
/// As [`to_string`], or the writer fails.
pub fn to_writer<T: Serialize + ?Sized>(writer: impl Write, value: &T) -> Result<(), Error> {
    to_writer_with(writer, value, Lines::Wrapped)
}

/// Serializes manifests to a writer; as [`to_string`].
///
/// # Errors
///
/// As [`to_string`], or the writer fails.
pub fn to_writer_with<T: Serialize + ?Sized>(
    writer: impl Write,
    value: &T,
    lines: Lines,
) -> Result<(), Error> {
    let mut serializer = Serializer::new(writer, lines);
    value.serialize(manifests::Stream(&mut serializer))?;
    serializer.finish()?;
    Ok(())
}
