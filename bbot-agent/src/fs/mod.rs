//! Files and folders: operations that the rooms of the agent share.

pub(crate) mod bounded_read;
pub(crate) mod digest;
mod durable;
mod error;
pub(crate) mod runtime_dir;
pub(crate) mod storage;

pub(crate) use error::{FileError, if_present};
