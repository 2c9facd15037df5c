//! The host: whether it can run guests, and who is at fault if one fails.
//!
//! Trouble of the host is the host's (W67, W68): while it lasts the instance asks for nothing, and
//! no machine is left alone for it.

pub(crate) mod facts;
pub(crate) mod fault;
pub(crate) mod health;
pub(crate) mod monitor;
pub(crate) mod proof;
pub(crate) mod watch;
