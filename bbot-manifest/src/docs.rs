//! The pages of the folder `docs` of this crate.

#[doc = include_str!("../docs/format.md")]
pub mod format {}

#[doc = include_str!("../docs/manifests.md")]
pub mod manifests {}
