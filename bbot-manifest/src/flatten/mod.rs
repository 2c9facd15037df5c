//! What structs with `#[serde(flatten)]`, and some enumerations, need beside the data format.

pub mod buffered;
mod suffixed;
mod texts;

pub use self::suffixed::{Suffix, Suffixed};
