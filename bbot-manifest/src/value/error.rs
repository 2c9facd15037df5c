//! The errors of all values of the protocol.

use crate::location::{RepositoryLocationError, RepositoryTypeError};
use crate::value::base64::Base64Error;
use crate::value::fingerprint::Sha256FingerprintError;
use crate::value::interactive_mode::InteractiveModeError;
use crate::value::mac_address::MacAddressError;
use crate::value::machine_name::MachineNameError;
use crate::value::machine_role::MachineRoleError;
use crate::value::machine_type::MachineTypeError;
use crate::value::package_name::PackageNameError;
use crate::value::quoting::QuotingError;
use crate::value::requirement::TaskRequirementError;
use crate::value::result_status::ResultStatusError;
use crate::value::target_triplet::TargetTripletError;
use crate::value::test_dependency::TestDependencyError;
use crate::version::{PackageVersionError, StandardVersionError};

/// What is wrong with a value: the error of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// It is not a package name.
    #[error(transparent)]
    PackageName(#[from] PackageNameError),
    /// It is not a package version.
    #[error(transparent)]
    PackageVersion(#[from] PackageVersionError),
    /// It is not a standard version.
    #[error(transparent)]
    StandardVersion(#[from] StandardVersionError),
    /// It is not a repository location.
    #[error(transparent)]
    RepositoryLocation(#[from] RepositoryLocationError),
    /// It is not a repository type.
    #[error(transparent)]
    RepositoryType(#[from] RepositoryTypeError),
    /// It is not a machine name.
    #[error(transparent)]
    MachineName(#[from] MachineNameError),
    /// It is not a machine role.
    #[error(transparent)]
    MachineRole(#[from] MachineRoleError),
    /// It is not a machine type.
    #[error(transparent)]
    MachineType(#[from] MachineTypeError),
    /// It is not an Ethernet address.
    #[error(transparent)]
    MacAddress(#[from] MacAddressError),
    /// It is not a fingerprint.
    #[error(transparent)]
    Fingerprint(#[from] Sha256FingerprintError),
    /// It is not a target triplet.
    #[error(transparent)]
    TargetTriplet(#[from] TargetTripletError),
    /// It is not an interactive mode.
    #[error(transparent)]
    InteractiveMode(#[from] InteractiveModeError),
    /// It is not a result status.
    #[error(transparent)]
    ResultStatus(#[from] ResultStatusError),
    /// It is not a requirement.
    #[error(transparent)]
    Requirement(#[from] TaskRequirementError),
    /// It is not a test dependency.
    #[error(transparent)]
    TestDependency(#[from] TestDependencyError),
    /// It is not base64.
    #[error(transparent)]
    Base64(#[from] Base64Error),
    /// It is not a list of quoted words.
    #[error(transparent)]
    Quoting(#[from] QuotingError),
    /// It is not a number.
    #[error("number expected")]
    Number,
    /// It is neither `true` nor `false`.
    #[error("true or false expected")]
    Boolean,
}
