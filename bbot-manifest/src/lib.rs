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
//! A line `:` starts a manifest, and the first one has the version of the format, `1`. A value of
//! several lines is between two lines `\`. A line that ends with a backslash is continued by the
//! next one. Lines that start with `#` are comments. [`docs::format`] specifies the
//! format.
//!
//! # The manifests of the protocol
//!
//! [`protocol`] has a type for each manifest that controllers, agents and workers exchange;
//! [`docs::manifests`] specifies them.
//!
//! ```
//! use bbot_manifest::{Lines, Manifest, ResultManifest, ResultStatus};
//!
//! let text = b": 1\nname: libhello\nversion: 1.2.3\nstatus: warning\nupdate-status: warning\n\
//!     update-log: c++ hello.cxx\n";
//! let mut result = ResultManifest::parse(text, "result.manifest")?;
//! assert_eq!(result.results[0].log, "c++ hello.cxx");
//! assert!(!result.status.is_failure());
//!
//! result.status = ResultStatus::Abort;
//! result.results.clear();
//! let text = result.to_text(Lines::Wrapped)?;
//! assert_eq!(text, ": 1\nname: libhello\nversion: 1.2.3\nstatus: abort\n");
//!
//! let error = ResultManifest::parse(b": 1\nname: x\n", "result.manifest").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "result.manifest:2:7: error: invalid name: length is less than two characters"
//! );
//! # Ok::<(), bbot_manifest::Error>(())
//! ```
//!
#![cfg_attr(feature = "serde", doc = " # Types of your own, with serde")]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(
    feature = "serde",
    doc = " [`from_str`] and [`from_reader`] deserialize structs, [`to_string`] \
           and [`to_writer`] serialize them."
)]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(feature = "serde", doc = " ```")]
#![cfg_attr(feature = "serde", doc = " use bbot_manifest::{PackageName, PackageVersion};")]
#![cfg_attr(feature = "serde", doc = " use serde::{Deserialize, Serialize};")]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(feature = "serde", doc = " #[derive(Serialize, Deserialize)]")]
#![cfg_attr(feature = "serde", doc = " #[serde(rename_all = \"kebab-case\")]")]
#![cfg_attr(feature = "serde", doc = " struct Package {")]
#![cfg_attr(feature = "serde", doc = "     name: PackageName,")]
#![cfg_attr(feature = "serde", doc = "     version: PackageVersion,")]
#![cfg_attr(feature = "serde", doc = "     home_page: Option<String>,")]
#![cfg_attr(feature = "serde", doc = "     #[serde(default)]")]
#![cfg_attr(feature = "serde", doc = "     depends: Vec<String>,")]
#![cfg_attr(feature = "serde", doc = " }")]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(
    feature = "serde",
    doc = " let text = \": 1\\nname: libhello\\nversion: 1.2.3\\ndepends: a\\ndepends: b\\n\\"
)]
#![cfg_attr(feature = "serde", doc = "     :\\nname: libbye\\nversion: 0.1.0\\n\";")]
#![cfg_attr(
    feature = "serde",
    doc = " let packages: Vec<Package> = bbot_manifest::from_str(text)?;"
)]
#![cfg_attr(feature = "serde", doc = " assert_eq!(packages[0].depends, [\"a\", \"b\"]);")]
#![cfg_attr(feature = "serde", doc = " assert!(packages[1].version < packages[0].version);")]
#![cfg_attr(feature = "serde", doc = " assert_eq!(bbot_manifest::to_string(&packages)?, text);")]
#![cfg_attr(feature = "serde", doc = " # Ok::<(), bbot_manifest::Error>(())")]
#![cfg_attr(feature = "serde", doc = " ```")]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(feature = "serde", doc = " # JSON")]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(
    feature = "serde",
    doc = " The manifests of the protocol and the values are `Serialize` and `Deserialize`, for \
           other formats."
)]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(feature = "serde", doc = " ```")]
#![cfg_attr(feature = "serde", doc = " use bbot_manifest::{Lines, MachineHeader, Manifest};")]
#![cfg_attr(feature = "serde", doc = "")]
#![cfg_attr(
    feature = "serde",
    doc = " let json = r#\"{\"id\":\"4f2a\",\"name\":\"linux-gcc\",\"summary\":\"Debian 12\",\
           \"ram-minimum\":1048576}\"#;"
)]
#![cfg_attr(feature = "serde", doc = " let machine: MachineHeader = serde_json::from_str(json)?;")]
#![cfg_attr(feature = "serde", doc = " let text = machine.to_text(Lines::Wrapped)?;")]
#![cfg_attr(
    feature = "serde",
    doc = " assert!(text.ends_with(\"summary: Debian 12\\nram-minimum: 1048576\\n\"));"
)]
#![cfg_attr(feature = "serde", doc = " assert_eq!(serde_json::to_string(&machine)?, json);")]
#![cfg_attr(feature = "serde", doc = " # Ok::<(), Box<dyn std::error::Error>>(())")]
#![cfg_attr(feature = "serde", doc = " ```")]
//!
//! # Events
//!
//! [`Parser`] returns events that borrow from a text in memory, [`StreamParser`] reads input of any
//! length, and [`Serializer`] writes pairs and comments.
//!
//! ```
//! use bbot_manifest::{Event, StreamParser};
//!
//! let input = std::io::Cursor::new(": 1\nname: libhello\n:\nname: libbye\n");
//! let mut parser = StreamParser::new(input).with_name("stdin");
//! let mut names = Vec::new();
//! while let Some(event) = parser.next_event()? {
//!     if let Event::Pair(pair) = event {
//!         names.push(format!("{}: {}", pair.value_at, pair.value));
//!     }
//! }
//! assert_eq!(names, ["2:7: libhello", "4:7: libbye"]);
//! # Ok::<(), bbot_manifest::Error>(())
//! ```
//!
//! # Values
//!
//! [`version`] has versions of packages and constraints on them, [`location`] the locations of
//! repositories, and [`protocol`] the other values. Each is parsed by [`str::parse`] and displayed
//! as it is written.
//!
//! ```
//! use bbot_manifest::version::PackageConstraint;
//! use bbot_manifest::{PackageVersion, RepositoryLocation};
//!
//! let constraint: PackageConstraint = "^1.2.3".parse()?;
//! assert!(constraint.is_satisfied_by(&"1.9.0+1".parse::<PackageVersion>()?));
//! let location: RepositoryLocation = "https://pkg.example.org/1/stable".parse()?;
//! assert_eq!(location.canonical_name(), "pkg:example.org/stable");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it guarantees
//!
//! * The format is that of the C++ implementation, to the byte: text, positions and messages of
//!   errors, order of versions. Thousands of its results are part of the tests.
//! * Whatever the input, time is proportional to its length (the data format also sorts names, to
//!   collect those that are repeated), and memory to its length ([`Parser`]) or to its longest
//!   value ([`StreamParser`]); [`Limits`] bound both. Nothing panics.
//! * Values that are unbroken in the text are borrowed, and their events allocate nothing.
//! * What was parsed can be written, and is then parsed as the same; newlines become LF.
//! * What the data format serializes without an error it deserializes as the same, within the
//!   limits that the module `ser` describes.
//!
//! # What it does not
//!
//! * It does not look at files or the network, not even to find out the type of a repository.
//! * A manifest that is parsed and written as a whole loses its comments and the breaks of its
//!   lines; [`TaskEdit`](protocol::TaskEdit) changes a task without that.
//!
//! # Errors
//!
//! [`Error`] is displayed as `NAME:LINE:COLUMN: error: MESSAGE`, without the parts that are not
//! known. Its [`kind`](Error::kind) has the data. Each value type has an error of its own.
//!
//! # Features
//!
//! * `serde` (default): the data format, and `Serialize` and `Deserialize` of values and manifests.
#![forbid(unsafe_code)]

#[cfg(feature = "serde")]
pub mod de;
#[cfg(doc)]
pub mod docs;
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
