//! What structs with `#[serde(flatten)]`, and some enumerations, need beside the data format.

pub mod buffered;
mod suffixed;

pub use self::suffixed::{Suffix, Suffixed};
