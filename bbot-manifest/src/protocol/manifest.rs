//! What all manifests of the protocol have in common.

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::protocol::record::{Record, Records};
use crate::protocol::writer::Writer;
use crate::text::Lines;

/// A manifest, or a fixed sequence of manifests, of the protocol.
///
/// ```
/// use bbot_manifest::{Lines, MachineHeader, Manifest};
///
/// let text = ": 1\nid: 4f2a\nname: linux-gcc\nsummary: Debian 12\n";
/// let header = MachineHeader::parse(text.as_bytes(), "machine")?;
/// assert_eq!(header.name.as_str(), "linux-gcc");
/// assert_eq!(header.to_text(Lines::Wrapped)?, text);
///
/// let error = MachineHeader::parse(b": 1\nid:\n", "machine").unwrap_err();
/// assert_eq!(error.to_string(), "machine:2:4: error: empty id");
/// # Ok::<(), bbot_manifest::Error>(())
/// ```
pub trait Manifest: Sized {
    /// Parses a stream that consists of this; `name` is the stream's name in messages.
    ///
    /// # Errors
    ///
    /// The text is not a manifest, or its values are not those of this kind.
    fn parse(input: &[u8], name: &str) -> Result<Self, Error> {
        Self::parse_within(input, name, Limits::default())
    }

    /// Parses a stream as [`parse`](Self::parse), with other limits than the default ones.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    fn parse_within(input: &[u8], name: &str, limits: Limits) -> Result<Self, Error>;

    /// Writes the stream.
    ///
    /// # Errors
    ///
    /// A value has code points that a manifest cannot hold.
    fn to_text(&self, lines: Lines) -> Result<String, Error>;
}

/// The values of one kind of manifest.
pub(crate) trait Body: Sized {
    /// Reads the values.
    fn read(record: Record<'_>) -> Result<Self, Error>;

    /// Writes the values.
    fn write(&self, writer: &mut Writer) -> Result<(), Error>;
}

/// Parses a stream: `read` takes its manifests, of which none may be left.
pub(crate) fn parse_stream<T>(
    input: &[u8],
    name: &str,
    limits: Limits,
    read: impl FnOnce(&mut Records<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut records = Records::new(input, limits);
    let parsed = read(&mut records).and_then(|value| match records.next_record()? {
        None => Ok(value),
        Some(extra) => Err(Error::at(extra.start_at, ErrorKind::SingleManifestExpected)),
    });
    parsed.map_err(|error| error.named(name))
}

/// Writes a stream of manifests.
pub(crate) fn write_stream(
    lines: Lines,
    write: impl FnOnce(&mut Writer) -> Result<(), Error>,
) -> Result<String, Error> {
    let mut writer = Writer::new(lines);
    write(&mut writer)?;
    writer.finish()
}

/// Writes a manifest.
pub(crate) fn write_manifest(writer: &mut Writer, body: &impl Body) -> Result<(), Error> {
    writer.start()?;
    body.write(writer)
}

/// Implements [`Manifest`] for a type that is a single manifest.
macro_rules! single_manifest {
    ($type:ty) => {
        impl $crate::protocol::manifest::Manifest for $type {
            fn parse_within(
                input: &[u8],
                name: &str,
                limits: $crate::limits::Limits,
            ) -> Result<Self, $crate::error::Error> {
                use $crate::protocol::manifest::{Body, parse_stream};

                parse_stream(input, name, limits, |records| Self::read(records.required()?))
            }

            fn to_text(&self, lines: $crate::text::Lines) -> Result<String, $crate::error::Error> {
                use $crate::protocol::manifest::{write_manifest, write_stream};

                write_stream(lines, |writer| write_manifest(writer, self))
            }
        }
    };
}
pub(crate) use single_manifest;
