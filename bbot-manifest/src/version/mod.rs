//! Versions of packages, and constraints on them (docs/format.md, sections 10 and 11).

mod constraint;
mod number;
mod package;
mod package_constraint;
mod semantic;
mod standard;
mod standard_constraint;

pub use self::constraint::RangeEnd;
pub use self::package::{PackageVersion, PackageVersionError, PackageVersionForms};
pub use self::package_constraint::{Endpoint, PackageConstraint, PackageConstraintError};
pub use self::semantic::{
    Build, Omit, SemanticVersion, SemanticVersionError, SemanticVersionForms,
};
pub use self::standard::{StandardVersion, StandardVersionError, StandardVersionForms};
pub use self::standard_constraint::{StandardConstraint, StandardConstraintError};
