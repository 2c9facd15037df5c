//! The manifests of the protocol between controller, agent and worker.

pub(crate) mod bootstrap;
pub(crate) mod edit;
pub(crate) mod machine;
pub(crate) mod record;
pub(crate) mod result;
pub(crate) mod result_request;
pub(crate) mod task;
pub(crate) mod task_request;
pub(crate) mod task_response;
pub(crate) mod toolchain;

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::manifest::record::{Record, Records, Writer};
use crate::serializer::Lines;

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
    /// Parses a stream that holds this and nothing else; `name` is the stream's name in messages.
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
    /// A value holds characters that a manifest cannot.
    fn to_text(&self, lines: Lines) -> Result<String, Error>;
}

/// The values of one kind of manifest.
pub(crate) trait Body: Sized {
    /// Takes the values.
    fn read(record: Record<'_>) -> Result<Self, Error>;

    /// Writes the values.
    fn write(&self, writer: &mut Writer) -> Result<(), Error>;
}

/// Parses a stream with one reader for all its manifests.
fn parse_stream<T>(
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
fn write_stream(
    lines: Lines,
    write: impl FnOnce(&mut Writer) -> Result<(), Error>,
) -> Result<String, Error> {
    let mut writer = Writer::new(lines);
    write(&mut writer)?;
    writer.finish()
}

/// Implements [`Manifest`] for what is one manifest.
macro_rules! single_manifest {
    ($($type:ty),*) => {$(
        impl Manifest for $type {
            fn parse_within(input: &[u8], name: &str, limits: Limits) -> Result<Self, Error> {
                parse_stream(input, name, limits, |records| Self::read(records.required()?))
            }

            fn to_text(&self, lines: Lines) -> Result<String, Error> {
                write_stream(lines, |writer| writer.manifest(self))
            }
        }
    )*};
}

single_manifest!(
    machine::MachineHeader,
    machine::MachineManifest,
    toolchain::ToolchainManifest,
    bootstrap::BootstrapManifest,
    task::TaskManifest,
    result::ResultManifest
);
