//! `Serialize` and `Deserialize` of the manifests of the protocol, for formats such as JSON
//! (docs/manifests.md, section 12).
//!
//! The fields have the names of the values, as far as a list or map of values is not a field of its
//! own. What is deserialized is checked by writing it as a manifest and reading that: so each
//! manifest refuses in one form what it refuses in the other.

mod bootstrap;
mod check;
mod machine;
mod result;
mod task;
mod task_request;
mod task_response;
