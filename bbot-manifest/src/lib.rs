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
//!   [`TaskEdit`] changes a task without that.
//!
//! # Errors
//!
//! [`Error`] is shown as `NAME:LINE:COLUMN: error: MESSAGE`, the way compilers do, with the parts
//! that are known. Its [`kind`](Error::kind) has the data.
#![forbid(unsafe_code)]

mod base64_text;
mod block;
mod comment;
mod data;
mod encoding;
mod error;
mod event;
mod fragment;
mod limits;
mod location;
mod manifest;
mod parser;
mod position;
mod quoting;
mod scan;
mod sequence;
mod serializer;
mod stream;
mod survey;
mod text_value;
mod unfold;
mod usual;
mod value;
mod value_error;
mod version;

pub use base64_text::{Base64Error, decode_base64, encode_base64};
pub use comment::{merge_comment, split_comment};
pub use data::buffered;
pub use data::suffixed::{Suffix, Suffixed};
pub use data::{
    from_parser, from_reader, from_slice, from_str, from_stream_parser, to_string, to_string_with,
    to_writer, to_writer_with,
};
pub use encoding::{CodePointClass, EncodingError};
pub use error::{Error, ErrorKind, Part};
pub use event::{Event, Pair};
pub use limits::{Limit, Limits};
pub use location::{
    Authority, GitReferenceError, Host, Protocol, RepositoryLocation, RepositoryLocationError,
    RepositoryType, RepositoryUrl, UrlError,
};
pub use manifest::Manifest;
pub use manifest::bootstrap::{BootstrapManifest, BootstrappedMachine};
pub use manifest::edit::TaskEdit;
pub use manifest::machine::{MachineHeader, MachineManifest, MachineRole, MachineType};
pub use manifest::result::{OperationResult, ResultManifest};
pub use manifest::result_request::ResultRequest;
pub use manifest::task::{AuxiliaryMachine, TaskManifest, TestKind, TestPackage};
pub use manifest::task_request::TaskRequest;
pub use manifest::task_response::TaskResponse;
pub use manifest::toolchain::ToolchainManifest;
pub use parser::Parser;
pub use position::Position;
pub use quoting::{QuotingError, quote_words, unquote_words};
pub use serializer::{Lines, Serializer};
pub use stream::StreamParser;
pub use value::fingerprint::{Sha256Fingerprint, Sha256FingerprintError};
pub use value::interactive_mode::{InteractiveMode, InteractiveModeError};
pub use value::mac_address::{MacAddress, MacAddressError};
pub use value::machine_name::{MachineName, MachineNameError};
pub use value::package_name::{PackageName, PackageNameError};
pub use value::requirement::{TaskRequirement, TaskRequirementError};
pub use value::result_status::{ResultStatus, ResultStatusError};
pub use value::target_triplet::{TargetTriplet, TargetTripletError};
pub use value::test_dependency::{TestDependency, TestDependencyError};
pub use value_error::ValueError;
pub use version::package::{PackageVersion, PackageVersionError, PackageVersionForms};
pub use version::package_constraint::{Endpoint, PackageConstraint, PackageConstraintError};
pub use version::semantic::{
    Build, Omit, SemanticVersion, SemanticVersionError, SemanticVersionForms,
};
pub use version::standard::{StandardVersion, StandardVersionError, StandardVersionForms};
pub use version::standard_constraint::{RangeEnd, StandardConstraint, StandardConstraintError};
