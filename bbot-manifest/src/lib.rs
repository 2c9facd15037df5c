//! The manifest text format of build2 and the typed manifests of the bbot protocol
#![forbid(unsafe_code)]

mod base64_text;
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
mod text_value;
mod unfold;
mod value;
mod value_error;
mod version;

pub use base64_text::{Base64Error, decode_base64, encode_base64};
pub use comment::{merge_comment, split_comment};
pub use data::suffixed::{Suffix, Suffixed};
pub use data::{
    from_parser, from_reader, from_slice, from_str, to_string, to_string_with, to_writer,
    to_writer_with,
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
