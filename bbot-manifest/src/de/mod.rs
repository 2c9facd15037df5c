//! The serde data format: deserializes manifests.

mod error;
mod key;
mod manifests;
mod source;
mod values;

use std::io::BufRead;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::text::{Parser, StreamParser};

use self::source::{InMemory, Manifests, Source, Streamed};

pub(crate) use self::source::{Entry, Group};
pub(crate) use self::values::Value;

/// Deserializes manifests from a text.
///
/// A struct or map is a stream of one manifest. A `Vec` is a list of manifests. A tuple is a list
/// in which each element takes as many manifests as it needs: a struct one, an `Option` one if
/// there is one left, a `Vec` all that are left. A type that does not ask for either, such as an
/// untagged enum, gets the manifest if there is one, and otherwise a list.
///
/// In a manifest a `Vec` is a value that may be repeated; give it `#[serde(default)]` if it may be
/// absent. An `Option` is a value that may be absent. Values that are flattened are texts, unless
/// they are read by [`buffered`](crate::flatten::buffered). [`ser`](crate::ser) lists what the
/// format cannot express.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(rename_all = "kebab-case", deny_unknown_fields)]
/// struct Package {
///     name: bbot_manifest::PackageName,
///     version: bbot_manifest::PackageVersion,
///     package_size: Option<u64>,
///     #[serde(default)]
///     depends: Vec<String>,
/// }
///
/// let text = ": 1\nname: libhello\nversion: 1.2.3\ndepends: libsmall\ndepends: libtiny\n";
/// let package: Package = bbot_manifest::from_str(text)?;
/// assert_eq!(package.depends, ["libsmall", "libtiny"]);
/// assert_eq!(bbot_manifest::to_string(&package)?, text);
///
/// let error = bbot_manifest::from_str::<Package>(": 1\nname: libhello\nversion: 1..2\n");
/// assert_eq!(
///     error.unwrap_err().to_string(),
///     "3:10: error: invalid version: unexpected '.' character position"
/// );
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
///
/// # Errors
///
/// The text is not a list of manifests, or they are not those of the type. The error has the name
/// and the position of the value.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    from_slice(text.as_bytes())
}

/// Deserializes manifests from bytes; as [`from_str`].
///
/// # Errors
///
/// As [`from_str`].
pub fn from_slice<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, Error> {
    from_parser(Parser::new(input))
}

/// Deserializes manifests from a parser, and so with its name and limits; as [`from_str`].
///
/// # Errors
///
/// As [`from_str`].
pub fn from_parser<'de, T: Deserialize<'de>>(parser: Parser<'de>) -> Result<T, Error> {
    let name = parser.name().to_owned();
    let mut source = InMemory(parser);
    read(&mut source).map_err(|error| error.named(&name))
}

/// Deserializes manifests from a reader; as [`from_str`].
///
/// # Errors
///
/// As [`from_str`], or the reader fails.
pub fn from_reader<T: DeserializeOwned>(reader: impl BufRead) -> Result<T, Error> {
    from_stream_parser(StreamParser::new(reader))
}

/// Deserializes manifests from a streaming parser, and so with its name and limits; as
/// [`from_str`].
///
/// # Errors
///
/// As [`from_str`], or the reader fails.
pub fn from_stream_parser<T: DeserializeOwned, R: BufRead>(
    parser: StreamParser<R>,
) -> Result<T, Error> {
    let name = parser.name().to_owned();
    read(&mut Streamed(parser)).map_err(|error| error.named(&name))
}

fn read<'de, T: Deserialize<'de>>(source: &mut impl Source<'de>) -> Result<T, Error> {
    let mut manifests = Manifests::new(source);
    let value = T::deserialize(manifests::Stream::new(&mut manifests))?;
    manifests.finish()?;
    Ok(value)
}
