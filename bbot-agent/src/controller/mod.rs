//! Controllers: how they are asked, answered, and what is accepted from them.

pub(crate) mod auth;
pub(crate) mod client;
mod proxy;
mod public_key;
mod redirect;
pub(crate) mod result_request;
mod retry_after;
pub(crate) mod upload;
pub(crate) mod verdict;

pub(crate) use verdict::AcceptedTask;
