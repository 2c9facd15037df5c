//! The manifest text format of build2, and the typed manifests of the bbot protocol.
//!
//! A *manifest* is a list of names and values; a *stream* is a list of manifests. The text is made
//! for people and version control as well as for programs:
//!
//! ```text
//! : 1
//! name: libhello
//! summary: A library that greets
//! description:
//! \
//! It says hello.
//!
//! And nothing else.
//! \
//! :
//! name: libbye
//! ```
//!
//! A line `:` starts a manifest, and the first one says the version of the format, `1`. A value of
//! several lines stands between two lines `\`. A line that ends with a backslash goes on in the
//! next one. Lines that start with `#` are comments.
//!
//! # Three ways to read and write
//!
//! *With serde*: write a struct, and use [`from_str`], [`from_reader`], [`to_string`] and
//! [`to_writer`].
//!
//! ```
//! use bbot_manifest::{PackageName, PackageVersion};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(rename_all = "kebab-case")]
//! struct Package {
//!     name: PackageName,
//!     version: PackageVersion,
//!     home_page: Option<String>,
//!     #[serde(default)]
//!     depends: Vec<String>,
//! }
//!
//! let text = ": 1\nname: libhello\nversion: 1.2.3\ndepends: a\ndepends: b\n\
//!     :\nname: libbye\nversion: 0.1.0\n";
//! let packages: Vec<Package> = bbot_manifest::from_str(text)?;
//! assert_eq!(packages[0].depends, ["a", "b"]);
//! assert!(packages[1].version < packages[0].version);
//! assert_eq!(bbot_manifest::to_string(&packages)?, text);
//! # Ok::<(), bbot_manifest::Error>(())
//! ```
//!
//! *With the types of the protocol*: [`TaskRequest`], [`TaskResponse`], [`ResultRequest`] and the
//! other implementations of [`Manifest`] are what a controller, an agent and a worker of a build
//! farm say to each other.
//!
//! *Event by event*: [`Parser`] gives events that borrow from a text in memory, [`StreamParser`]
//! reads input of any length, [`Serializer`] writes pairs and comments.
//!
//! # What it guarantees
//!
//! * The format is that of the C++ implementation, to the byte: text, positions and messages of
//!   errors, order of versions. Thousands of its results are part of the tests.
//! * Whatever the input, time is proportional to its length (serde also sorts names, to bring
//!   together those that are repeated), and memory to its length ([`Parser`]) or to its longest
//!   value ([`StreamParser`]); [`Limits`] bound both. Nothing panics.
//! * Values that stand unbroken in the text are borrowed, and events of them allocate nothing.
//! * What was parsed can be written, and is then parsed again as the same; newlines become LF.
//! * Values have types that cannot hold wrong ones: [`PackageName`], [`StandardVersion`],
//!   [`RepositoryLocation`] ... Each is read with [`str::parse`] and by serde, and shown as it is
//!   written.
//!
//! # What it does not
//!
//! * It does not find out whether names that a program does not know mean something: the typed
//!   manifests keep them (tasks), ignore them (responses, bootstrap manifests), drop them (results)
//!   or refuse them (machines and requests).
//! * It does not look at the disk or the network, not even to find out what a repository is.
//! * A manifest that was changed with it as a whole loses its comments and the breaks of its lines;
//!   [`TaskEdit`](protocol::TaskEdit) changes a task without that.
//!
//! # Errors
//!
//! [`Error`] is shown as `NAME:LINE:COLUMN: error: MESSAGE`, the way compilers do, with the parts
//! that are known. Its [`kind`](Error::kind) has the data.
#![forbid(unsafe_code)]

#[cfg(feature = "serde")]
pub mod de;
pub mod error;
#[cfg(feature = "serde")]
pub mod flatten;
pub mod location;
pub mod protocol;
#[cfg(feature = "serde")]
pub mod ser;
pub mod text;
pub mod version;

mod chain;
mod encoding;
mod limits;
mod position;
mod serde_text;
mod value;
mod words;

#[cfg(feature = "serde")]
pub use self::de::{from_reader, from_slice, from_str};
pub use self::error::{Error, ErrorKind};
pub use self::location::RepositoryLocation;
pub use self::protocol::{
    BootstrappedMachine, MachineHeader, MachineManifest, MachineName, Manifest, PackageName,
    ResultManifest, ResultRequest, ResultStatus, TaskManifest, TaskRequest, TaskResponse,
};
#[cfg(feature = "serde")]
pub use self::ser::{to_string, to_writer};
pub use self::text::{Event, Limits, Lines, Pair, Parser, Position, Serializer, StreamParser};
pub use self::version::{PackageVersion, StandardVersion};
