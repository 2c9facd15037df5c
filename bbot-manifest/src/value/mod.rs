//! Value types other than versions and locations.

pub(crate) mod fingerprint;
pub(crate) mod interactive_mode;
pub(crate) mod mac_address;
pub(crate) mod machine_name;
pub(crate) mod package_name;
pub(crate) mod requirement;
pub(crate) mod result_status;
pub(crate) mod target_triplet;
pub(crate) mod test_dependency;
