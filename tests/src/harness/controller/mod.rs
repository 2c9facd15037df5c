//! A controller that behaves as the real one does, and records all requests and answers.
//!
//! `POST /?build-task` asks for a task, `POST /?upload=<type>` uploads an artifact,
//! `POST /?build-result` posts a result, `GET /1/stable/...` reads from the package repository.

mod auth;
mod exchange;
mod fault;
mod http;
mod message;
mod pairs;
mod pattern;
mod queue;
mod running;
mod service;
mod upload;

pub use auth::{KnownKey, challenge, generate_key, hex_sha256};
pub use exchange::{Exchange, Outcome};
pub use fault::Fault;
pub use http::{Handler, Server};
pub use message::{Request, Response};
pub use pairs::Pair;
pub use queue::{Package, Receipt, Verdict};
pub use running::Controller;
pub use service::ControllerConfig;
pub use upload::Artifact;
