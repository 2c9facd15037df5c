//! Locations of package repositories: URLs and paths (docs/format.md, section 13).

mod canonical;
mod error;
mod kind;
mod path;
mod reference;
mod repository;
mod url;

pub use self::error::RepositoryLocationError;
pub use self::kind::{RepositoryType, RepositoryTypeError};
pub use self::reference::GitReferenceError;
pub use self::repository::RepositoryLocation;
pub use self::url::{Authority, Host, RepositoryProtocol, RepositoryUrl, UrlError};
