//! The values of the protocol other than versions and locations, and the notations that values are
//! written in.

pub(crate) mod base64;
pub(crate) mod comment;
pub(crate) mod error;
pub(crate) mod fingerprint;
pub(crate) mod interactive_mode;
pub(crate) mod mac_address;
pub(crate) mod machine_name;
pub(crate) mod machine_role;
pub(crate) mod machine_type;
mod octets;
pub(crate) mod package_name;
pub(crate) mod quoting;
pub(crate) mod requirement;
pub(crate) mod result_status;
pub(crate) mod target_triplet;
pub(crate) mod test_dependency;
pub(crate) mod test_kind;
