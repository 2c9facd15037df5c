//! What can be wrong with a value.

use std::fmt;

use crate::base64_text::Base64Error;
use crate::location::RepositoryLocationError;
use crate::quoting::QuotingError;
use crate::value::fingerprint::Sha256FingerprintError;
use crate::value::interactive_mode::InteractiveModeError;
use crate::value::mac_address::MacAddressError;
use crate::value::machine_name::MachineNameError;
use crate::value::package_name::PackageNameError;
use crate::value::requirement::TaskRequirementError;
use crate::value::result_status::ResultStatusError;
use crate::value::target_triplet::TargetTripletError;
use crate::value::test_dependency::TestDependencyError;
use crate::version::package::PackageVersionError;
use crate::version::standard::StandardVersionError;

macro_rules! value_error {
    ($($(#[$doc:meta])* $variant:ident($error:ty),)*) => {
        /// What is wrong with a value: the error of its type.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ValueError {
            $($(#[$doc])* $variant($error),)*
            /// It is none of the words that it can be.
            Word(&'static str),
            /// It is not a number.
            Number,
        }

        impl fmt::Display for ValueError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(error) => error.fmt(f),)*
                    Self::Word(words) => write!(f, "{words} expected"),
                    Self::Number => f.write_str("number expected"),
                }
            }
        }

        $(impl From<$error> for ValueError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

value_error! {
    /// It is not a package name.
    PackageName(PackageNameError),
    /// It is not a package version.
    PackageVersion(PackageVersionError),
    /// It is not a standard version.
    StandardVersion(StandardVersionError),
    /// It is not a repository location.
    RepositoryLocation(RepositoryLocationError),
    /// It is not a machine name.
    MachineName(MachineNameError),
    /// It is not an Ethernet address.
    MacAddress(MacAddressError),
    /// It is not a fingerprint.
    Fingerprint(Sha256FingerprintError),
    /// It is not a target triplet.
    TargetTriplet(TargetTripletError),
    /// It is not an interactive mode.
    InteractiveMode(InteractiveModeError),
    /// It is not a result status.
    ResultStatus(ResultStatusError),
    /// It is not a requirement.
    Requirement(TaskRequirementError),
    /// It is not a test dependency.
    TestDependency(TestDependencyError),
    /// It is not base64.
    Base64(Base64Error),
    /// It is not a list of quoted words.
    Quoting(QuotingError),
}

impl std::error::Error for ValueError {}
