//! The manifests that controllers, agents and workers exchange, as types, and their values.
//!
//! | type | from | to |
//! |---|---|---|
//! | [`TaskRequest`] | agent | controller |
//! | [`TaskResponse`], with a [`TaskManifest`] | controller | agent |
//! | [`TaskManifest`] | agent | worker |
//! | [`ResultManifest`] | worker | agent |
//! | [`ResultRequest`], with a [`ResultManifest`] | agent | controller |
//! | [`BootstrapManifest`] | worker | agent |
//! | [`MachineManifest`], with a [`MachineHeader`] | operator | agent |
//! | [`BootstrappedMachine`] | agent | agent |
//!
//! `docs/manifests.md` specifies them value by value, and their form in JSON.
//!
//! All are `#[non_exhaustive]`, as the protocol grows: a manifest is made by `new`, with the values
//! that it cannot be without, and the other values are public fields.
//!
//! ```
//! use bbot_manifest::protocol::{MachineRole, TaskRequest};
//! use bbot_manifest::{Lines, MachineHeader, Manifest};
//!
//! let mut machine = MachineHeader::new("4f2a", "linux-postgres".parse()?, "PostgreSQL 17");
//! machine.role = Some(MachineRole::Auxiliary);
//! let request = TaskRequest::new("host", vec![machine], "public", "0.16.0".parse()?);
//! assert_eq!(
//!     request.to_text(Lines::Wrapped)?,
//!     ": 1\nagent: host\ntoolchain-name: public\ntoolchain-version: 0.16.0\n\
//!      :\nid: 4f2a\nname: linux-postgres\nsummary: PostgreSQL 17\nrole: auxiliary\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bootstrap;
mod edit;
#[cfg(feature = "serde")]
mod json;
mod machine;
mod manifest;
mod record;
mod result;
mod result_request;
mod task;
mod task_request;
mod task_response;
mod toolchain;
mod writer;

pub use crate::value::error::ValueError;
pub use crate::value::fingerprint::{Sha256Fingerprint, Sha256FingerprintError};
pub use crate::value::interactive_mode::{InteractiveMode, InteractiveModeError};
pub use crate::value::mac_address::{MacAddress, MacAddressError};
pub use crate::value::machine_name::{MachineName, MachineNameError};
pub use crate::value::machine_role::{MachineRole, MachineRoleError};
pub use crate::value::machine_type::{MachineType, MachineTypeError};
pub use crate::value::package_name::{PackageName, PackageNameError};
pub use crate::value::requirement::{TaskRequirement, TaskRequirementError};
pub use crate::value::result_status::{ResultStatus, ResultStatusError};
pub use crate::value::target_triplet::{TargetTriplet, TargetTripletError};
pub use crate::value::test_dependency::{TestDependency, TestDependencyError};
pub use crate::value::test_kind::{TestKind, TestKindError};

pub use self::bootstrap::{BootstrapManifest, BootstrappedMachine};
pub use self::edit::TaskEdit;
pub use self::machine::{MachineHeader, MachineManifest};
pub use self::manifest::Manifest;
pub use self::result::{OperationResult, ResultManifest};
pub use self::result_request::ResultRequest;
pub use self::task::{AuxiliaryMachine, TaskManifest, TestPackage};
pub use self::task_request::TaskRequest;
pub use self::task_response::TaskResponse;
pub use self::toolchain::ToolchainManifest;
