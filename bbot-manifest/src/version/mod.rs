//! Versions and constraints on them.

pub(crate) mod number;
pub(crate) mod package;
pub(crate) mod package_constraint;
pub(crate) mod semantic;
pub(crate) mod standard;
pub(crate) mod standard_constraint;
