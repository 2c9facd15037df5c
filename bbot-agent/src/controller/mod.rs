//! Communication with controllers: requests, authentication, and which tasks are accepted.

mod answer;
pub(crate) mod auth;
pub(crate) mod client;
mod connector;
mod error;
mod key_file;
mod proxy;
mod public_key;
mod redirect;
pub(crate) mod result_request;
mod retry_after;
pub(crate) mod upload;
pub(crate) mod verdict;

pub(crate) use verdict::AcceptedTask;
